"""The chat completions of OpenAI, and of everything that speaks their wire, by the `openai` SDK.

Usage: `prompt_tokens` include the cached ones and `completion_tokens` the reasoning, as ours do.
"""

import asyncio
import base64
import importlib
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from datetime import timedelta
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from chat_svc.models import Author, FinishReason
from chat_svc.providers import CallPiece, Finish, Image, Part, Prompt, ProviderError, Text, Tool, Turn, Usage, sse
from chat_svc.providers.refusals import refused, took_too_long

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream, OpenAIError
    from openai.types.chat import (
        ChatCompletionContentPartParam,
        ChatCompletionMessageParam,
        ChatCompletionToolChoiceOptionParam,
        ChatCompletionToolUnionParam,
    )

_FINISH: Mapping[str, FinishReason] = MappingProxyType(
    {
        "stop": FinishReason.STOP,
        "length": FinishReason.LENGTH,
        "tool_calls": FinishReason.TOOL_CALLS,
        "function_call": FinishReason.TOOL_CALLS,
        "content_filter": FinishReason.CONTENT_FILTER,
    }
)
# Codes and types of errors whose status says less; the second is llama.cpp's word for the first.
_CODES: Mapping[str | None, str] = MappingProxyType(
    {
        "context_length_exceeded": "context_overflow",
        "exceed_context_size_error": "context_overflow",
        "content_filter": "content_filtered",
        "content_policy_violation": "content_filtered",
        "insufficient_quota": "upstream_unauthorized",
    }
)


class OpenAIWire:
    """A provider behind a base URL, which ends in `/v1`.

    The SDK is heavy: it is imported by `prepare` or the first answer.
    """

    def __init__(self, *, base_url: str, api_key: str, connect: timedelta) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._connect = connect
        self._made: AsyncOpenAI | None = None

    async def answer(self, prompt: Prompt) -> AsyncGenerator[Sequence[Part], None]:
        """The parts of an answer; see `Provider`."""
        client = await self._client()
        with _translated():
            stream = await _ask(client, prompt)
        async with stream, aclosing(sse.parts(stream.response, _parts)) as found:
            async for parts in found:
                yield parts

    async def prepare(self) -> None:
        """Have the SDK ready; see `Wire`."""
        await self._client()

    async def close(self) -> None:
        """Give the connections back."""
        if self._made is not None:
            await self._made.close()

    async def _client(self) -> "AsyncOpenAI":
        """The SDK's client without retries; of its time-outs only the one for connecting, the others are `Patience`."""
        await asyncio.to_thread(_import_sdk)
        from openai import AsyncOpenAI, DefaultAioHttpClient, Timeout

        if self._made is None:
            self._made = AsyncOpenAI(
                base_url=self._base_url,
                api_key=self._api_key,
                max_retries=0,
                timeout=Timeout(None, connect=self._connect.total_seconds()),
                http_client=DefaultAioHttpClient(),  # h11 and anyio took a quarter of a token's time
            )
        return self._made


@cache
def _import_sdk() -> None:
    """Import it, after what it would look at half imported: `httpx`, where another SDK has just begun to."""
    with suppress(ModuleNotFoundError):
        importlib.import_module("httpx")
    importlib.import_module("openai")


async def _ask(client: "AsyncOpenAI", prompt: Prompt) -> "AsyncStream[object]":
    """The stream as the SDK opens it; what it says we read ourselves, see `sse`."""
    from openai import AsyncStream

    return await client.post(
        "/chat/completions", body=_body(prompt), cast_to=object, stream=True, stream_cls=AsyncStream[object]
    )


def _body(prompt: Prompt) -> Mapping[str, object]:
    chosen: dict[str, object] = {
        "temperature": prompt.temperature,
        "top_p": prompt.top_p,
        "stop": list(prompt.stop) or None,
        "tools": [_tool(tool) for tool in prompt.tools] or None,
        "tool_choice": _tool_choice(prompt.tool_choice) if prompt.tools else None,
    }
    return {
        "model": prompt.model,
        "messages": list(_messages(prompt)),
        "max_completion_tokens": prompt.max_output_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: value for name, value in chosen.items() if value is not None},
    }


def _messages(prompt: Prompt) -> Iterator["ChatCompletionMessageParam"]:
    if prompt.system:
        yield {"role": "system", "content": prompt.system}
    for turn in prompt.turns:
        yield from _asked(turn) if turn.author == Author.USER else _answered(turn)


def _asked(turn: Turn) -> Iterator["ChatCompletionMessageParam"]:
    for result in turn.results:
        yield {"role": "tool", "tool_call_id": result.call_id, "content": result.text}
    if turn.images:
        content: list[ChatCompletionContentPartParam] = [_image(image) for image in turn.images]
        if turn.text:
            content.append({"type": "text", "text": turn.text})
        yield {"role": "user", "content": content}
    elif turn.text or not turn.results:
        yield {"role": "user", "content": turn.text}


def _answered(turn: Turn) -> Iterator["ChatCompletionMessageParam"]:
    if not turn.calls:
        yield {"role": "assistant", "content": turn.text}
        return
    yield {
        "role": "assistant",
        "content": turn.text or None,
        "tool_calls": [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.calls
        ],
    }


def _image(image: Image) -> "ChatCompletionContentPartParam":
    encoded = base64.b64encode(image.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{encoded}"}}


def _tool(tool: Tool) -> "ChatCompletionToolUnionParam":
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
    }


def _tool_choice(choice: str) -> "ChatCompletionToolChoiceOptionParam":
    if choice in ("auto", "none", "required"):
        return cast("ChatCompletionToolChoiceOptionParam", choice)
    return {"type": "function", "function": {"name": choice}}


def _parts(data: bytes) -> Iterator[Part]:
    """What one chunk says. A refusal is what the model has to say, so it is the answer."""
    chunk: Any = json.loads(data)  # the one reader of JSON here that takes half a surrogate pair
    if error := chunk.get("error"):
        raise _said(error)
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        if text := delta.get("content") or delta.get("refusal"):
            yield Text(text)
        for call in delta.get("tool_calls") or ():
            told = call.get("function") or {}
            yield CallPiece(call["index"], call.get("id") or "", told.get("name") or "", told.get("arguments") or "")
        if reason := choice.get("finish_reason"):
            yield Finish(_FINISH.get(reason, FinishReason.STOP))
    if usage := chunk.get("usage"):
        yield _usage(usage)


def _usage(told: Mapping[str, Any]) -> Usage:
    prompt, completion = told.get("prompt_tokens_details") or {}, told.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=int(told["prompt_tokens"]),
        output_tokens=int(told["completion_tokens"]),
        cached_input_tokens=int(prompt.get("cached_tokens") or 0),
        cache_write_tokens=int(prompt.get("cache_write_tokens") or 0),
        reasoning_tokens=int(completion.get("reasoning_tokens") or 0),
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of the block, which asks, into ours."""
    from openai import APIConnectionError, APITimeoutError, OpenAIError

    try:
        yield
    except APITimeoutError as error:
        raise ProviderError(
            "upstream_timeout" if took_too_long(error) else "upstream_unavailable", str(error)
        ) from error
    except APIConnectionError as error:
        raise ProviderError("upstream_unavailable", str(error)) from error
    except OpenAIError as error:
        raise _error(error) from error


def _error(error: "OpenAIError") -> ProviderError:
    """Ours for an error status."""
    from openai import APIError, APIStatusError

    if isinstance(error, APIError) and (code := _CODES.get(error.code) or _CODES.get(error.type)):
        return ProviderError(code, str(error))
    if isinstance(error, APIStatusError):
        return refused(error.status_code, str(error), headers=error.response.headers)
    return ProviderError("upstream_unavailable", str(error))


def _said(error: Any) -> ProviderError:
    """Ours for an error in the midst of a stream."""
    known = (error.get("code"), error.get("type")) if isinstance(error, dict) else ()
    code = next((_CODES[name] for name in known if name in _CODES), "upstream_unavailable")
    return ProviderError(code, str(error))
