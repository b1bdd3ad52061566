"""The content of Google's Gemini, by the `google-genai` SDK.

Usage: `prompt_token_count` includes the cached ones as ours do; `candidates_token_count` is without the thoughts.
"""

import asyncio
import base64
import importlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from chat_svc.models import Author, FinishReason
from chat_svc.providers import Call, CallPiece, Finish, Part, Prompt, ProviderError, Result, Text, Turn, Usage
from chat_svc.providers.arguments import read_arguments
from chat_svc.providers.refusals import refused
from svckit.ids import new_id

if TYPE_CHECKING:
    import httpx2
    from google.genai import Client
    from google.genai.errors import APIError
    from google.genai.types import (
        ContentDict,
        ContentListUnionDict,
        FunctionCall,
        FunctionCallDict,
        FunctionResponseDict,
        GenerateContentResponse,
        GenerateContentResponseUsageMetadata,
        PartDict,
        ToolConfig,
    )
    from google.genai.types import Tool as GoogleTool

_FINISH: Mapping[str, FinishReason] = MappingProxyType(
    {
        "STOP": FinishReason.STOP,
        "MAX_TOKENS": FinishReason.LENGTH,
        "CONTINUATION": FinishReason.LENGTH,
        "SAFETY": FinishReason.CONTENT_FILTER,
        "RECITATION": FinishReason.CONTENT_FILTER,
        "LANGUAGE": FinishReason.CONTENT_FILTER,
        "BLOCKLIST": FinishReason.CONTENT_FILTER,
        "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
        "SPII": FinishReason.CONTENT_FILTER,
        "ESCALATION": FinishReason.CONTENT_FILTER,
        "PUP_LIMITED_DISABLED": FinishReason.CONTENT_FILTER,
        "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
    }
)
# There is no code for it, only these words; nor a status of its own for a wrong key.
_OVERFLOW = "exceeds the maximum number of tokens"
_WRONG_KEY = "API_KEY_INVALID"
# google.rpc.RetryInfo, which stands for a Retry-After header.
_RETRY_DELAY = re.compile(r"'retryDelay': '([0-9.]+)s'")

_TOOL_MODES: Mapping[str, str] = MappingProxyType({"auto": "AUTO", "none": "NONE", "required": "ANY"})
# They sign the thoughts behind the first call of an answer and want that back; where it is not known (of another
# model's calls, and in completions) they take this instead. https://ai.google.dev/gemini-api/docs/thought-signatures
_UNSIGNED = b"skip_thought_signature_validator"


class GoogleWire:
    """Google behind a base URL without a version; `version` is that of their API, such as `v1beta`.

    The SDK is heavy: it is imported by `prepare` or the first answer.
    """

    def __init__(self, *, base_url: str, api_key: str, version: str, connect: timedelta) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._version = version
        self._connect = connect
        self._made: Client | None = None
        self._http: httpx2.AsyncClient | None = None

    async def answer(self, prompt: Prompt) -> AsyncGenerator[Sequence[Part], None]:
        """The parts of an answer; see `Provider`.

        Neither leaving the SDK's stream nor closing it ends the call, only cancelling the task that reads it does.
        """
        client = await self._client()
        waiting: list[Part] = []
        news = asyncio.Event()
        reading = asyncio.create_task(_read(client, prompt, waiting, news))
        reading.add_done_callback(lambda _: news.set())
        try:
            while waiting or not reading.done():
                await news.wait()
                news.clear()
                if waiting:
                    found = waiting.copy()
                    waiting.clear()
                    yield found
            with _translated():
                await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def prepare(self) -> None:
        """Have the SDK ready; see `Wire`."""
        await self._client()

    async def close(self) -> None:
        """Give the connections back."""
        if self._http is not None and self._made is not None:
            self._made.close()
            await self._http.aclose()

    async def _client(self) -> "Client":
        """The SDK's client. Ours is the HTTP client below it: the SDK's own would try again when it cannot connect."""
        await asyncio.to_thread(importlib.import_module, "google.genai")
        import httpx2
        from google.genai import Client, types

        if self._made is None:
            limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
            self._http = httpx2.AsyncClient(limits=limits, event_hooks={"request": [self._limit_connecting]})
            options = types.HttpOptions(
                base_url=self._base_url, api_version=self._version, httpx_async_client=self._http
            )
            self._made = Client(api_key=self._api_key, http_options=options)
        return self._made

    async def _limit_connecting(self, request: "httpx2.Request") -> None:
        """The SDK knows one time-out for everything, and by default none; all but this one are `Patience`."""
        request.extensions["timeout"] = {"connect": self._connect.total_seconds()}


async def _read(client: "Client", prompt: Prompt, waiting: list[Part], news: asyncio.Event) -> None:
    """Add what comes to what is waiting."""
    reader = _Reader()
    async for chunk in await _ask(client, prompt):
        for part in reader.parts(chunk):
            waiting.append(part)
            news.set()


async def _ask(client: "Client", prompt: Prompt) -> "AsyncIterator[GenerateContentResponse]":
    from google.genai import types

    config = types.GenerateContentConfig(
        system_instruction=prompt.system or None,
        max_output_tokens=prompt.max_output_tokens,
        temperature=prompt.temperature,
        top_p=prompt.top_p,
        stop_sequences=list(prompt.stop) or None,
        tools=[_tools(prompt)] if prompt.tools else None,
        tool_config=_tool_config(prompt.tool_choice) if prompt.tools else None,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    return await client.aio.models.generate_content_stream(
        model=prompt.model, contents=_contents(prompt), config=config
    )


def _contents(prompt: Prompt) -> "ContentListUnionDict":
    names = {call.id: call.name for turn in prompt.turns for call in turn.calls}
    return [_content(turn, names) for turn in prompt.turns]


def _content(turn: Turn, names: Mapping[str, str]) -> "ContentDict":
    parts: list[PartDict] = [
        {"function_response": _response(result, name=names.get(result.call_id, ""))} for result in turn.results
    ]
    parts += [{"inline_data": {"mime_type": image.media_type, "data": image.data}} for image in turn.images]
    if turn.text or not (parts or turn.calls):
        parts.append({"text": turn.text})
    parts += _calls(turn.calls)
    return {"role": "user" if turn.author == Author.USER else "model", "parts": parts}


def _response(result: Result, *, name: str) -> "FunctionResponseDict":
    return {"id": result.call_id, "name": name, "response": {"output": result.text}}


def _calls(calls: Sequence[Call]) -> "Iterator[PartDict]":
    """The calls with their signatures; of those made side by side only the first has one."""
    signed = any(call.signature for call in calls)
    for call in calls:
        asked: FunctionCallDict = {"id": call.id, "name": call.name, "args": read_arguments(call.arguments)}
        if call.signature:
            yield {"function_call": asked, "thought_signature": base64.b64decode(call.signature)}
        elif signed:
            yield {"function_call": asked}
        else:
            yield {"function_call": asked, "thought_signature": _UNSIGNED}


def _tools(prompt: Prompt) -> "GoogleTool":
    from google.genai import types

    return types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name=tool.name, description=tool.description, parameters_json_schema=dict(tool.parameters)
            )
            for tool in prompt.tools
        ]
    )


def _tool_config(choice: str) -> "ToolConfig":
    from google.genai import types

    mode = _TOOL_MODES.get(choice, "ANY")
    names = [choice] if choice not in _TOOL_MODES else None
    calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode(mode), allowed_function_names=names)
    return types.ToolConfig(function_calling_config=calling)


class _Reader:
    """Reads one stream. Their calls come whole, some without an id, and end with the reason of any other answer."""

    def __init__(self) -> None:
        self._calls = 0

    def parts(self, chunk: "GenerateContentResponse") -> Iterator[Part]:
        """What one chunk says. Thoughts are not shown; a prompt that was blocked has no candidates."""
        for candidate in chunk.candidates or ():
            for part in (candidate.content and candidate.content.parts) or ():
                if part.text and not part.thought:
                    yield Text(part.text)
                if part.function_call:
                    yield self._call(part.function_call, signature=part.thought_signature or b"")
            if candidate.finish_reason:
                reason = _finish(candidate.finish_reason.value)
                yield Finish(FinishReason.TOOL_CALLS if self._calls and reason is FinishReason.STOP else reason)
        if chunk.prompt_feedback and chunk.prompt_feedback.block_reason:
            yield Finish(FinishReason.CONTENT_FILTER)
        if chunk.usage_metadata:
            yield _usage(chunk.usage_metadata)

    def _call(self, told: "FunctionCall", *, signature: bytes) -> CallPiece:
        index, self._calls = self._calls, self._calls + 1
        return CallPiece(
            index,
            told.id or f"call_{new_id()}",
            told.name or "",
            json.dumps(told.args or {}),
            base64.b64encode(signature).decode(),
        )


def _finish(reason: str) -> FinishReason:
    """Ours for theirs. They have a dozen more, all of which mean that the answer is not whole."""
    if (finish := _FINISH.get(reason)) is None:
        raise ProviderError("upstream_truncated", f"the model stopped with {reason}")
    return finish


def _usage(told: "GenerateContentResponseUsageMetadata") -> Usage:
    reasoning = told.thoughts_token_count or 0
    return Usage(
        input_tokens=(told.prompt_token_count or 0) + (told.tool_use_prompt_token_count or 0),
        output_tokens=(told.candidates_token_count or 0) + reasoning,
        cached_input_tokens=told.cached_content_token_count or 0,
        reasoning_tokens=reasoning,
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the block's errors into ours."""
    import httpx2
    from google.genai.errors import APIError

    try:
        yield
    except httpx2.TimeoutException as error:
        raise ProviderError("upstream_timeout", repr(error)) from error
    except httpx2.TransportError as error:
        raise ProviderError("upstream_unavailable", repr(error)) from error
    except APIError as error:
        raise _error(error) from error
    except (ValueError, TypeError, AttributeError) as error:  # JSON or a shape that the SDK cannot read
        raise ProviderError("upstream_malformed", repr(error)) from error


def _error(error: "APIError") -> ProviderError:
    """Ours for an error status, or for an error in the midst of a stream."""
    detail = str(error)
    if _OVERFLOW in detail:
        return ProviderError("context_overflow", detail)
    if _WRONG_KEY in detail:
        return ProviderError("upstream_unauthorized", detail)
    headers = dict(getattr(error.response, "headers", {}))
    if delay := _RETRY_DELAY.search(detail):
        headers["retry-after"] = delay[1]
    return refused(error.code, detail, headers=headers)
