"""The messages of Anthropic, by the `anthropic` SDK.

Temperature and `top_p` are not passed on: their current models have neither.
Usage: `input_tokens` are without the cached and cache-written ones, which ours include.
"""

import asyncio
import base64
import importlib
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from chat_svc.models import Author, FinishReason
from chat_svc.providers import CallPiece, Finish, Image, Part, Prompt, ProviderError, Text, Tool, Turn, Usage, sse
from chat_svc.providers.arguments import read_arguments
from chat_svc.providers.refusals import refused

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncStream
    from anthropic.types import (
        ContentBlockParam,
        ImageBlockParam,
        MessageParam,
        RawMessageStreamEvent,
        ToolChoiceParam,
        ToolParam,
    )

_FINISH: Mapping[str, FinishReason] = MappingProxyType(
    {
        "end_turn": FinishReason.STOP,
        "stop_sequence": FinishReason.STOP,
        "max_tokens": FinishReason.LENGTH,
        "model_context_window_exceeded": FinishReason.LENGTH,
        "pause_turn": FinishReason.LENGTH,
        "tool_use": FinishReason.TOOL_CALLS,
        "refusal": FinishReason.CONTENT_FILTER,
    }
)
# Types of errors that come in the midst of a stream, where the status is a 200.
_CODES: Mapping[str, str] = MappingProxyType(
    {
        "rate_limit_error": "rate_limited",
        "timeout_error": "upstream_timeout",
        "overloaded_error": "upstream_unavailable",
        "api_error": "upstream_unavailable",
    }
)
# There is no code for it, only these words.
_OVERFLOWS = ("prompt is too long", "exceed context limit")
_COUNTS: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


class AnthropicWire:
    """Anthropic behind a base URL without `/v1`; `version` is that of their API, None: the SDK's own.

    The SDK is heavy: it is imported by `prepare` or the first answer.
    """

    def __init__(self, *, base_url: str, api_key: str, version: str | None, connect: timedelta) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._version = version
        self._connect = connect
        self._made: AsyncAnthropic | None = None

    async def answer(self, prompt: Prompt) -> AsyncGenerator[Sequence[Part], None]:
        """The parts of an answer; see `Provider`."""
        client = await self._client()
        with _translated():
            stream = await _ask(client, prompt)
        async with stream, aclosing(sse.parts(stream.response, _Reader().parts)) as found:
            async for parts in found:
                yield parts

    async def prepare(self) -> None:
        """Have the SDK ready; see `Wire`."""
        await self._client()

    async def close(self) -> None:
        """Give the connections back."""
        if self._made is not None:
            await self._made.close()

    async def _client(self) -> "AsyncAnthropic":
        """The SDK's client without retries; of its time-outs only the one for connecting, the others are `Patience`."""
        await asyncio.to_thread(importlib.import_module, "anthropic")
        from anthropic import AsyncAnthropic, Timeout

        if self._made is None:
            self._made = AsyncAnthropic(
                base_url=self._base_url,
                api_key=self._api_key,
                max_retries=0,
                timeout=Timeout(None, connect=self._connect.total_seconds()),
                default_headers={"anthropic-version": self._version} if self._version else None,
            )
        return self._made


async def _ask(client: "AsyncAnthropic", prompt: Prompt) -> "AsyncStream[RawMessageStreamEvent]":
    """The stream as the SDK opens it; what it says we read ourselves, see `sse`."""
    from anthropic import omit

    return await client.messages.create(
        model=prompt.model,
        system=prompt.system or omit,
        messages=list(_messages(prompt)),
        max_tokens=prompt.max_output_tokens,
        stop_sequences=list(prompt.stop) or omit,
        tools=[_tool(tool) for tool in prompt.tools] or omit,
        tool_choice=_tool_choice(prompt.tool_choice) if prompt.tools else omit,
        stream=True,
    )


def _messages(prompt: Prompt) -> Iterator["MessageParam"]:
    for turn in prompt.turns:
        plain = not (turn.images or turn.calls or turn.results)
        content = turn.text if plain else list(_blocks(turn))
        if turn.author == Author.USER:
            yield {"role": "user", "content": content}
        else:
            yield {"role": "assistant", "content": content}


def _blocks(turn: Turn) -> Iterator["ContentBlockParam"]:
    """Results must come first in a message, and calls last."""
    for result in turn.results:
        yield {"type": "tool_result", "tool_use_id": result.call_id, "content": result.text}
    for image in turn.images:
        yield _image(image)
    if turn.text:
        yield {"type": "text", "text": turn.text}
    for call in turn.calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": read_arguments(call.arguments)}


def _image(image: Image) -> "ImageBlockParam":
    encoded = base64.b64encode(image.data).decode()
    media_type = cast("Literal['image/jpeg', 'image/png', 'image/webp']", image.media_type)
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": encoded}}


def _tool(tool: Tool) -> "ToolParam":
    return {"name": tool.name, "description": tool.description, "input_schema": {**tool.parameters, "type": "object"}}


def _tool_choice(choice: str) -> "ToolChoiceParam":
    match choice:
        case "auto":
            return {"type": "auto"}
        case "none":
            return {"type": "none"}
        case "required":
            return {"type": "any"}
    return {"type": "tool", "name": choice}


class _Reader:
    """Reads one stream. Its counts are cumulative, and those of the input may come at the start only."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._reasoning = 0
        # Their index counts blocks of all kinds, ours tool calls.
        self._calls: dict[int, int] = {}

    def parts(self, data: bytes) -> Iterator[Part]:
        """What one event says."""
        event: Any = json.loads(data)  # see openai_wire
        match event["type"]:
            case "message_start":
                yield self._usage(event["message"]["usage"])
            case "content_block_start" if event["content_block"]["type"] == "tool_use":
                index = self._calls[event["index"]] = len(self._calls)
                yield CallPiece(index, event["content_block"]["id"], event["content_block"]["name"])
            case "content_block_delta":
                yield from self._delta(event["index"], event["delta"])
            case "message_delta":
                yield self._usage(event["usage"])
                if reason := event["delta"].get("stop_reason"):
                    yield Finish(_FINISH.get(reason, FinishReason.STOP))
            case "error":
                raise _said(event["error"])

    def _delta(self, index: int, delta: Any) -> Iterator[Part]:
        if delta["type"] == "text_delta" and delta["text"]:
            yield Text(delta["text"])
        elif delta["type"] == "input_json_delta" and delta["partial_json"]:
            yield CallPiece(self._calls[index], arguments=delta["partial_json"])

    def _usage(self, told: Any) -> Usage:
        for name in _COUNTS:
            if (count := told.get(name)) is not None:
                self._counts[name] = int(count)
        if details := told.get("output_tokens_details"):
            self._reasoning = int(details["thinking_tokens"])
        uncached, written, cached, output = (self._counts[name] for name in _COUNTS)
        return Usage(
            input_tokens=uncached + written + cached,
            output_tokens=output,
            cached_input_tokens=cached,
            cache_write_tokens=written,
            reasoning_tokens=self._reasoning,
        )


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of the block, which asks, into ours."""
    from anthropic import APIConnectionError, APIStatusError, APITimeoutError

    try:
        yield
    except APITimeoutError as error:
        raise ProviderError("upstream_timeout", repr(error)) from error
    except APIConnectionError as error:
        raise ProviderError("upstream_unavailable", repr(error)) from error
    except APIStatusError as error:
        if _overflows(str(error)):
            raise ProviderError("context_overflow", str(error)) from error
        raise refused(error.status_code, str(error), headers=error.response.headers) from error


def _said(error: Any) -> ProviderError:
    """Ours for an error in the midst of a stream."""
    code = "context_overflow" if _overflows(str(error)) else _CODES.get(error["type"], "upstream_rejected")
    return ProviderError(code, str(error))


def _overflows(detail: str) -> bool:
    return any(words in detail for words in _OVERFLOWS)
