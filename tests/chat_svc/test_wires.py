"""What only one wire says, in the providers' own words, read by their SDKs."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from chat_svc.models import Author, FinishReason
from chat_svc.providers import Finish, Part, Prompt, Provider, ProviderError, Text, Turn, Usage
from chat_svc.providers.anthropic_wire import AnthropicWire
from chat_svc.providers.google_wire import GoogleWire
from chat_svc.providers.openai_wire import OpenAIWire
from tests.chat_svc.scripted import Scripted, answering, stream

PROMPT = Prompt(model="m", system="", turns=[Turn(Author.USER, "hello")], max_output_tokens=100)
CONNECT = timedelta(seconds=5)


Wire = Callable[[Scripted], Provider]


def openai(at: Scripted) -> OpenAIWire:
    return OpenAIWire(base_url=f"{at.url}/v1", api_key="k", connect=CONNECT)


def anthropic(at: Scripted, *, version: str | None = None) -> AnthropicWire:
    return AnthropicWire(base_url=at.url, api_key="k", version=version, connect=CONNECT)


def google(at: Scripted, *, version: str = "v1beta") -> GoogleWire:
    return GoogleWire(base_url=at.url, api_key="k", version=version, connect=CONNECT)


async def answer(wire: Provider) -> list[Part]:
    try:
        return [part async for parts in wire.answer(PROMPT) for part in parts]
    finally:
        await wire.close()


async def failure(wire: Provider) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await answer(wire)
    return caught.value


ANTHROPIC = stream(
    {
        "type": "message_start",
        "message": {
            "id": "1",
            "content": [],
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 20,
                "cache_read_input_tokens": 70,
                "output_tokens": 1,
            },
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "yes"}},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 40}},
    },
    {"type": "message_stop"},
)
GOOGLE = stream(
    {
        "candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}],
        "usageMetadata": {"promptTokenCount": 100, "thoughtsTokenCount": 40},
    },
    {
        "candidates": [{"content": {"parts": [{"text": "yes"}]}, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 70,
            "candidatesTokenCount": 10,
            "thoughtsTokenCount": 40,
        },
    },
)
OPENAI = stream(
    {"choices": [{"index": 0, "delta": {"content": "yes"}, "finish_reason": "stop"}]},
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 70},
            "completion_tokens_details": {"reasoning_tokens": 40},
        },
    },
)


@pytest.mark.parametrize(("wire", "said"), [(openai, OPENAI), (anthropic, ANTHROPIC), (google, GOOGLE)])
async def test_cached_tokens_are_part_of_the_input_and_reasoning_of_the_output(wire: Wire, said: str) -> None:
    async with answering((200, said)) as upstream:
        parts = await answer(wire(upstream))

    usage = [part for part in parts if isinstance(part, Usage)][-1]
    assert [part for part in parts if isinstance(part, Text | Finish)] == [Text("yes"), Finish(FinishReason.STOP)]
    assert (usage.input_tokens, usage.cached_input_tokens) == (100, 70)
    assert usage.cache_write_tokens == (20 if wire is anthropic else 0)
    assert (usage.output_tokens, usage.reasoning_tokens) == (50, 40)


async def test_versions_of_the_apis_are_those_that_were_set() -> None:
    async with answering((200, ANTHROPIC), (200, GOOGLE)) as upstream:
        await answer(anthropic(upstream, version="2023-06-01"))
        await answer(google(upstream, version="v7"))

    assert upstream.headers[0]["anthropic-version"] == "2023-06-01"
    assert upstream.paths[1].startswith("/v7/models/m:")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("overloaded_error", "upstream_unavailable"),
        ("rate_limit_error", "rate_limited"),
        ("timeout_error", "upstream_timeout"),
        ("invalid_request_error", "upstream_rejected"),
    ],
)
async def test_an_error_in_the_midst_of_anthropics_stream_is_read_by_its_type(kind: str, code: str) -> None:
    said = stream({"type": "error", "error": {"type": kind, "message": "no"}})
    async with answering((200, said)) as upstream:
        error = await failure(anthropic(upstream))

    assert error.code == code


async def test_a_prompt_that_google_blocks_is_ended_by_the_filter() -> None:
    async with answering((200, stream({"promptFeedback": {"blockReason": "SAFETY"}}))) as upstream:
        parts = await answer(google(upstream))

    assert parts == [Finish(FinishReason.CONTENT_FILTER)]


async def test_an_answer_that_google_ends_for_no_good_reason_is_cut_off() -> None:
    said = stream({"candidates": [{"finishReason": "MALFORMED_RESPONSE"}]})
    async with answering((200, said)) as upstream:
        error = await failure(google(upstream))

    assert error.code == "upstream_truncated"


async def test_a_wrong_key_of_google_is_known_by_its_reason() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    body = {"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT", "details": details}}
    async with answering((400, body)) as upstream:
        error = await failure(google(upstream))

    assert error.code == "upstream_unauthorized"


async def test_google_says_in_the_body_when_to_come_again() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]
    body = {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED", "details": details}}
    async with answering((429, body)) as upstream:
        error = await failure(google(upstream))

    assert (error.code, error.retry_after) == ("rate_limited", timedelta(seconds=34.5))


@pytest.mark.parametrize("wire", [openai, anthropic, google])
@pytest.mark.parametrize(
    "said",
    [
        "event: message_start\ndata: nonsense\n\n",
        stream({"type": "message_start", "choices": 1, "candidates": 1}),
        b'event: message_start\ndata: {"choices": [{"delta": {"content": "\xff"}}]}\n\n',
    ],
    ids=["no JSON", "another shape", "no UTF-8"],
)
async def test_what_cannot_be_read_is_malformed(wire: Wire, said: str | bytes) -> None:
    async with answering((200, said)) as upstream:
        error = await failure(wire(upstream))

    assert error.code == "upstream_malformed"


@pytest.mark.parametrize(("wire", "said"), [(openai, OPENAI), (anthropic, ANTHROPIC), (google, GOOGLE)])
async def test_what_came_before_an_error_is_given_first(wire: Wire, said: str) -> None:
    given: list[Part] = []

    async with answering((200, f"{said}event: message_stop\ndata: nonsense\n\n")) as upstream:
        provider = wire(upstream)
        with pytest.raises(ProviderError, match="upstream_malformed"):
            await _take(provider, given)
        await provider.close()

    assert Text("yes") in given


async def test_a_connection_is_used_again_after_an_answer_that_ended_as_openais_do() -> None:
    given: list[Part] = []

    async with answering(*[(200, f"{OPENAI}data: [DONE]\n\n")] * 2) as upstream:
        wire = openai(upstream)
        for _ in range(2):
            await _take(wire, given)
        await wire.close()

    assert len(given) == 6
    assert upstream.connections[0] is upstream.connections[1]


async def _take(wire: Provider, given: list[Part]) -> None:
    """Ask, and add what comes to what was given."""
    async for parts in wire.answer(PROMPT):
        given += parts
