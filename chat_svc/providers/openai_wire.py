"""The chat completions of OpenAI, and of everything that speaks their wire, by the `openai` SDK.

Usage: `prompt_tokens` include the cached ones and `completion_tokens` the reasoning, as ours do.
"""

import asyncio
import importlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING

from chat_svc.models import Author, FinishReason
from chat_svc.providers import Finish, Part, Prompt, ProviderError, Text, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream, OpenAIError
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

_FINISH: Mapping[str, FinishReason] = MappingProxyType(
    {
        "stop": FinishReason.STOP,
        "length": FinishReason.LENGTH,
        "tool_calls": FinishReason.TOOL_CALLS,
        "function_call": FinishReason.TOOL_CALLS,
        "content_filter": FinishReason.CONTENT_FILTER,
    }
)
_STATUS_CODES: Mapping[int, str] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: "upstream_unauthorized",
        HTTPStatus.FORBIDDEN: "upstream_unauthorized",
        HTTPStatus.REQUEST_TIMEOUT: "upstream_timeout",
        HTTPStatus.TOO_MANY_REQUESTS: "rate_limited",
        HTTPStatus.GATEWAY_TIMEOUT: "upstream_timeout",
    }
)
# OpenAI's word, and llama.cpp's.
_OVERFLOWS = ("context_length_exceeded", "exceed_context_size_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a provider may take for each thing; `idle` is the time between two chunks."""

    connect: timedelta = timedelta(seconds=5)
    first_token: timedelta = timedelta(seconds=60)
    idle: timedelta = timedelta(seconds=30)


class OpenAIWire:
    """A provider behind a base URL, which ends in `/v1`. The SDK is heavy: it is imported with the first answer."""

    def __init__(self, *, base_url: str, api_key: str, patience: Patience | None = None) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._patience = patience or Patience()
        self._made: AsyncOpenAI | None = None

    async def answer(self, prompt: Prompt) -> AsyncGenerator[Part, None]:
        """The parts of an answer; see `Provider`."""
        client = await self._client()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._patience.first_token.total_seconds()
        with _translated(started=False):
            async with asyncio.timeout_at(deadline):
                stream = await _ask(client, prompt)
        try:
            started = finished = False
            while chunk := await _next(stream, deadline, started=started):
                for part in _parts(chunk):
                    started = started or isinstance(part, Text)
                    finished = finished or isinstance(part, Finish)
                    yield part
                if started:
                    deadline = clock() + self._patience.idle.total_seconds()
        finally:
            await stream.close()
        if not finished:
            raise ProviderError("upstream_truncated", "the stream ended without a finish reason")

    async def close(self) -> None:
        """Give the connections back."""
        if self._made is not None:
            await self._made.close()

    async def _client(self) -> "AsyncOpenAI":
        """The SDK's client; its own time-outs are a second line behind ours, its retries are off."""
        await asyncio.to_thread(importlib.import_module, "openai")
        from openai import AsyncOpenAI, Timeout

        if self._made is None:
            longest = max(self._patience.first_token, self._patience.idle) + timedelta(seconds=1)
            timeout = Timeout(longest.total_seconds(), connect=self._patience.connect.total_seconds())
            self._made = AsyncOpenAI(base_url=self._base_url, api_key=self._api_key, max_retries=0, timeout=timeout)
        return self._made


async def _ask(client: "AsyncOpenAI", prompt: Prompt) -> "AsyncStream[ChatCompletionChunk]":
    return await client.chat.completions.create(
        model=prompt.model,
        messages=list(_messages(prompt)),
        max_completion_tokens=prompt.max_output_tokens,
        stream=True,
        stream_options={"include_usage": True},
    )


def _messages(prompt: Prompt) -> Iterator["ChatCompletionMessageParam"]:
    if prompt.system:
        yield {"role": "system", "content": prompt.system}
    for turn in prompt.turns:
        if turn.author == Author.USER:
            yield {"role": "user", "content": turn.text}
        else:
            yield {"role": "assistant", "content": turn.text}


async def _next(
    stream: "AsyncStream[ChatCompletionChunk]", deadline: float, *, started: bool
) -> "ChatCompletionChunk | None":
    with _translated(started=started):
        async with asyncio.timeout_at(deadline):
            return await anext(stream, None)


def _parts(chunk: "ChatCompletionChunk") -> Iterator[Part]:
    """What one chunk says. A refusal is what the model has to say, so it is the answer."""
    for choice in chunk.choices:
        if text := choice.delta.content or choice.delta.refusal:
            yield Text(text)
        if choice.finish_reason:
            yield Finish(_FINISH.get(choice.finish_reason, FinishReason.STOP))
    if chunk.usage:
        yield _usage(chunk.usage)


def _usage(usage: "CompletionUsage") -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_input_tokens=(prompt and prompt.cached_tokens) or 0,
        cache_write_tokens=(prompt and prompt.cache_write_tokens) or 0,
        reasoning_tokens=(completion and completion.reasoning_tokens) or 0,
    )


@contextmanager
def _translated(*, started: bool) -> Iterator[None]:
    """Turn the block's errors into ours; a connection that is lost after the first text has cut the answer off."""
    from openai import APIConnectionError, APITimeoutError, OpenAIError

    try:
        yield
    except (TimeoutError, APITimeoutError) as error:
        raise ProviderError("upstream_timeout", str(error) or "nothing came in time") from error
    except APIConnectionError as error:
        raise ProviderError("upstream_truncated" if started else "upstream_unavailable", str(error)) from error
    except OpenAIError as error:
        raise ProviderError(_code(error), str(error)) from error
    except ValueError as error:  # the SDK lets what its JSON decoder raises through
        raise ProviderError("upstream_malformed", str(error)) from error


def _code(error: "OpenAIError") -> str:
    """Our code for an error status, or for an error in the midst of a stream."""
    from openai import APIError, APIStatusError

    if isinstance(error, APIError) and (error.code in _OVERFLOWS or error.type in _OVERFLOWS):
        return "context_overflow"
    if not isinstance(error, APIStatusError):
        return "upstream_unavailable"
    if (code := _STATUS_CODES.get(error.status_code)) is not None:
        return code
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "upstream_unavailable"
    return "upstream_rejected"
