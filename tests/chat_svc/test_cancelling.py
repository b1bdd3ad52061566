"""Stopping an answer: for its reader, in the database, and at the provider."""

import asyncio
from contextlib import aclosing

from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.journal import RequestRecord
from llmock.pytest_plugin import LLMock

from tests.chat_svc.conftest import Replica
from tests.chat_svc.user import User, kinds, text

LONG = "word " * 500


async def only_request(provider: LLMock) -> RequestRecord:
    """The one request that the provider got, once it is over."""
    (request,) = await asyncio.to_thread(lambda: provider.requests)
    return request


async def test_cancelling_on_another_replica_stops_the_call_to_the_provider(
    user: User, other: Replica, provider: LLMock
) -> None:
    provider.reply(LONG).pace(20)
    async with aclosing(user.stream()) as events:
        start = (await anext(events)).message_start
        while not (await anext(events)).HasField("delta"):
            pass
        cancelled = await user.at(other.stub).cancel(start.generation_id)

    request = await only_request(provider)
    assert (cancelled.state, cancelled.finish_reason) == (pb.STATE_CANCELLED, pb.FINISH_REASON_CANCELLED)
    assert not request.completed
    assert request.chunks_sent < 200


async def test_what_was_written_before_the_cancellation_is_kept_and_charged(user: User, provider: LLMock) -> None:
    provider.reply(LONG).pace(20)
    events = []
    async for event in user.stream():
        events.append(event)
        if len(events) == 5:
            await user.cancel(events[0].message_start.generation_id)

    answer = (await user.messages(events[0].message_start.conversation_id)).messages[-1]
    assert kinds(events) == ["message_start", "title", "delta", "usage", "message_end"]
    assert events[-1].message_end == pb.MessageEnd(finish_reason=pb.FINISH_REASON_CANCELLED, partial=True)
    assert answer.text == text(events)
    assert LONG.startswith(answer.text)
    assert answer.state == pb.STATE_CANCELLED
    assert answer.usage.estimated
    assert answer.usage.output_tokens == -(-len(answer.text) // 4)


async def test_an_answer_that_is_cancelled_before_its_first_text_costs_nothing(user: User, provider: LLMock) -> None:
    provider.slow_first_token(600)
    start = await user.begin()

    cancelled = await user.cancel(start.generation_id)

    assert cancelled.state == pb.STATE_CANCELLED
    assert cancelled.text == ""
    assert cancelled.usage == pb.TokenUsage()


async def test_cancelling_what_has_ended_changes_nothing(user: User) -> None:
    answered = await user.send()

    first = await user.cancel(answered.message.generation_id)
    second = await user.cancel(answered.message.generation_id)

    assert first == second
    assert first.state == pb.STATE_DONE


async def test_who_waits_for_a_cancelled_answer_gets_what_was_written(user: User, provider: LLMock) -> None:
    provider.reply(LONG).pace(20)
    start = await user.begin(idempotency_key="k")
    waiting = asyncio.create_task(user.send(idempotency_key="k"))

    await user.cancel(start.generation_id)

    answer = (await waiting).message
    assert answer.state == pb.STATE_CANCELLED
    assert LONG.startswith(answer.text)


async def test_deleting_a_conversation_stops_its_answers(user: User, provider: LLMock) -> None:
    provider.reply(LONG).pace(20)
    events = []
    async for event in user.stream():
        events.append(event)
        if len(events) == 3:
            await user.delete(events[0].message_start.conversation_id)

    assert events[-1].message_end.finish_reason == pb.FINISH_REASON_CANCELLED
    assert not (await only_request(provider)).completed
