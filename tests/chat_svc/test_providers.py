"""The three wires, each by its vendor's SDK against the same fake provider: what must be alike is alike."""

import asyncio
from contextlib import aclosing

import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply

from tests.chat_svc.conftest import Replica
from tests.chat_svc.user import User, kinds, text

LONG = "word " * 500
PROVIDERS = ["openai", "anthropic", "google"]

pytestmark = pytest.mark.parametrize("name", PROVIDERS)


async def test_an_answer_comes_with_its_end_and_what_it_used(user: User, provider: LLMock, name: str) -> None:
    provider.reply("one two three four")

    events = [event async for event in user.stream("hello you", provider=name)]

    assert kinds(events) == ["message_start", "title", "delta", "usage", "message_end"]
    assert events[0].message_start.provider == name
    assert text(events) == "one two three four"
    assert events[-1].message_end == pb.MessageEnd(finish_reason=pb.FINISH_REASON_STOP)
    usage = events[-2].usage
    assert usage.input_tokens > 0
    assert usage.output_tokens > 1
    assert not usage.estimated


async def test_a_model_is_asked_with_the_system_prompt_and_all_turns(user: User, provider: LLMock, name: str) -> None:
    made = await user.create(provider=name, system_prompt="Be brief.")
    provider.reply("first answer", times=2)
    await user.send("first question", conversation_id=made.id)

    await user.send("second question", conversation_id=made.id)

    said = await asyncio.to_thread(lambda: repr(provider.last_request.body))
    wanted = ["first question", "first answer", "second question"]
    assert [said.count(words) for words in ["Be brief.", *wanted]] == [1, 1, 1, 1]
    assert sorted(wanted, key=said.index) == wanted


@pytest.mark.parametrize(
    ("reason", "finish"), [("length", pb.FINISH_REASON_LENGTH), ("content_filter", pb.FINISH_REASON_CONTENT_FILTER)]
)
async def test_an_answer_that_is_cut_short_says_why(
    user: User, provider: LLMock, name: str, reason: str, finish: pb.FinishReason.ValueType
) -> None:
    provider.add(Reply(text="one two", finish_reason=reason))

    events = [event async for event in user.stream(provider=name)]

    assert text(events) == "one two"
    assert events[-1].message_end == pb.MessageEnd(finish_reason=finish, partial=True)


async def test_cancelling_stops_the_call_at_once(user: User, other: Replica, provider: LLMock, name: str) -> None:
    provider.reply(LONG).pace(20)
    async with aclosing(user.stream(provider=name)) as events:
        start = (await anext(events)).message_start
        while not (await anext(events)).HasField("delta"):
            pass
        cancelled = await user.at(other.stub).cancel(start.generation_id)

    (request,) = await asyncio.to_thread(lambda: provider.requests)
    assert cancelled.state == pb.STATE_CANCELLED
    assert LONG.startswith(cancelled.text)
    assert not request.completed
    assert request.chunks_sent < 200
    assert cancelled.usage.estimated
    assert cancelled.usage.output_tokens == -(-len(cancelled.text) // 4)


async def test_cancelling_before_the_first_text_costs_nothing(user: User, provider: LLMock, name: str) -> None:
    provider.slow_first_token(600)
    start = await user.begin(provider=name)

    cancelled = await user.cancel(start.generation_id)

    assert (cancelled.state, cancelled.text, cancelled.usage) == (pb.STATE_CANCELLED, "", pb.TokenUsage())
