"""Other models that answer while one fails: only before its first words, and only for what they may not suffer from."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Fail, Match

from svckit.events import Bus
from tests.chat_svc.conftest import Replica, Start
from tests.chat_svc.plans import grant
from tests.chat_svc.scripted import answering, stream
from tests.chat_svc.user import User, kinds, text


def model(id: str, provider: str, *fallbacks: str, window: int = 1000, dollars: int = 1) -> str:
    """A row of the table, with one price for all tokens."""
    return f"""
[[models]]
id = "{id}"
provider = "{provider}"
display_name = "{id}"
context_tokens = {window}
max_output_tokens = 100
input_micros_per_million = {dollars}_000_000
output_micros_per_million = {dollars}_000_000
price_date = 2026-11-25
price_source = "https://example.com/prices"
capabilities = ["text"]
plans = ["free"]
fallbacks = {list(fallbacks)}
"""


TABLE = "".join(
    [
        'version = "1"',
        model("first", "openai", "openai/retired", "anthropic/second", "google/third"),
        model("retired", "openai", window=9000) + "deprecation_date = 2020-01-01",
        model("second", "anthropic", "google/third", dollars=2),
        model("third", "google", window=2000, dollars=3),
        model("fourth", "anthropic", "local/keyless"),
        model("keyless", "local"),
    ]
)


@pytest.fixture(scope="module")
def models_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "models.toml"
    path.write_text(TABLE)
    return path


@pytest.fixture(scope="module")
async def replica(start: Start, models_file: Path) -> AsyncIterator[Replica]:
    """Without a local model."""
    async with start(models_file=models_file, local_model_url=None) as started:
        yield started


@pytest.fixture
def user(replica: Replica, provider: LLMock) -> User:
    return User(replica.stub)


async def told(user: User, *, model: str = "first") -> tuple[list[pb.GenerationEvent], pb.Message]:
    """The events of an answer, and the answer as it is kept."""
    events = [event async for event in user.stream(model=model)]
    return events, (await user.messages(events[0].message_start.conversation_id)).messages[-1]


def change(events: list[pb.GenerationEvent]) -> pb.ModelChange:
    return next(event.model_change for event in events if event.HasField("model_change"))


@pytest.mark.parametrize(
    ("status", "attempts", "code"),
    [
        (401, 1, "upstream_unauthorized"),
        (429, 3, "rate_limited"),
        (503, 3, "upstream_unavailable"),
        (504, 3, "upstream_timeout"),
        (529, 3, "upstream_unavailable"),
    ],
)
async def test_another_model_answers_when_further_attempts_were_in_vain(
    user: User, provider: LLMock, status: int, attempts: int, code: str
) -> None:
    provider.add(Fail(status, times=None, retry_after=0, match=Match(provider="openai"))).reply("at last")

    events, answer = await told(user)

    assert kinds(events) == ["message_start", "title", "model_change", "delta", "usage", "message_end"]
    assert events[0].message_start.model == "first"
    assert change(events) == pb.ModelChange(
        from_provider="openai", from_model="first", provider="anthropic", model="second", code=code
    )
    assert [request.provider for request in provider.requests] == ["openai"] * attempts + ["anthropic"]
    assert (answer.provider, answer.model, answer.text) == ("anthropic", "second", "at last")
    assert answer.usage.cost_micros == 2 * (answer.usage.input_tokens + answer.usage.output_tokens) > 0


async def test_models_are_asked_in_the_order_of_the_table_and_the_last_failure_is_told(
    user: User, provider: LLMock
) -> None:
    provider.fail(503, times=None, retry_after=0)

    events, answer = await told(user)

    assert kinds(events) == ["message_start", "title", "model_change", "model_change", "usage", "error"]
    assert (answer.state, answer.model) == (pb.STATE_FAILED, "third")
    assert events[-1].error.code == "upstream_unavailable"
    assert events[-2].usage == pb.TokenUsage()


async def test_what_is_wrong_with_the_request_no_other_model_is_asked(user: User, provider: LLMock) -> None:
    provider.fail(400)

    events, _ = await told(user)

    assert (events[-1].error.code, len(provider.requests)) == ("upstream_rejected", 1)


async def test_a_message_that_is_too_long_goes_to_a_model_with_a_larger_window(user: User, provider: LLMock) -> None:
    provider.add(Fail(400, code="context_length_exceeded", match=Match(provider="openai")))

    _, answer = await told(user)

    assert (answer.state, answer.model, len(provider.requests)) == (pb.STATE_DONE, "third", 2)


async def test_after_the_first_text_nobody_else_is_asked(user: User, provider: LLMock) -> None:
    provider.reply("one two three four").truncate(after_chunks=3)

    events, answer = await told(user)

    assert kinds(events) == ["message_start", "title", "delta", "usage", "error"]
    assert (answer.model, answer.text) == ("first", text(events))
    assert len(provider.requests) == 1


async def test_a_model_without_a_key_is_not_asked(user: User, provider: LLMock) -> None:
    provider.fail(503, times=None, retry_after=0)

    events, _ = await told(user, model="fourth")

    assert kinds(events) == ["message_start", "title", "usage", "error"]


async def test_a_model_that_the_plan_leaves_out_does_not_answer_for_another_either(
    user: User, provider: LLMock, bus: Bus
) -> None:
    await grant(bus, user, plan="free", tokens=1_000_000, models=["openai/*", "google/*"])
    provider.add(Fail(503, times=None, retry_after=0, match=Match(provider="openai"))).reply("at last")

    events, answer = await told(user)

    assert kinds(events) == ["message_start", "title", "model_change", "delta", "usage", "message_end"]
    assert (answer.model, answer.text) == ("third", "at last")
    assert {request.provider for request in provider.requests} == {"openai", "gemini"}


async def test_what_a_model_says_it_has_used_before_it_fails_is_told_and_not_charged(
    start: Start, models_file: Path, provider: LLMock
) -> None:
    begun = {
        "type": "message_start",
        "message": {"id": "1", "content": [], "usage": {"input_tokens": 7, "output_tokens": 1}},
    }
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
    async with (
        answering(*[(200, stream(begun, overloaded))] * 3) as upstream,
        start(models_file=models_file, anthropic_base_url=upstream.url) as replica,
    ):
        events, answer = await told(User(replica.stub), model="second")

    assert change(events).usage == pb.TokenUsage(input_tokens=7, output_tokens=1, cost_micros=16)
    assert answer.model == "third"
    assert answer.usage.cost_micros == 3 * (answer.usage.input_tokens + answer.usage.output_tokens)
