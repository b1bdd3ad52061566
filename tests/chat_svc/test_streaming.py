"""Live answers: their events, and who may come and go while they are written."""

import asyncio
import time
from contextlib import aclosing

import grpc
import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply
from redis.asyncio import Redis

from svckit.errors import InvalidArgument, OutOfRange
from svckit.rpc.status import received
from tests.chat_svc.conftest import Replica
from tests.chat_svc.user import User, ended, kinds, text

LONG = "word " * 300


async def test_events_come_in_order_and_numbered_without_gaps(user: User, provider: LLMock) -> None:
    provider.reply("one two three")

    events = [event async for event in user.stream()]

    assert kinds(events) == ["message_start", "title", "delta", "usage", "message_end"]
    assert [event.sequence for event in events] == list(range(len(events)))


async def test_the_deltas_are_the_text_that_is_kept(user: User, provider: LLMock) -> None:
    provider.reply("one two three")

    events = [event async for event in user.stream()]

    start = events[0].message_start
    question, answer = (await user.messages(start.conversation_id)).messages
    assert text(events) == answer.text == "one two three"
    assert (question.id, answer.id) == (start.user_message_id, start.message_id)
    assert (answer.parent_id, answer.generation_id) == (question.id, start.generation_id)
    assert (answer.state, answer.finish_reason) == (pb.STATE_DONE, pb.FINISH_REASON_STOP)


async def test_text_that_comes_fast_is_told_at_most_every_15_milliseconds(user: User, provider: LLMock) -> None:
    provider.reply("word " * 1000)

    began = time.monotonic()
    events = [event async for event in user.stream()]
    took = time.monotonic() - began

    deltas = [event for event in events if event.HasField("delta")]
    assert text(events) == "word " * 1000
    assert len(deltas) <= took / 0.015 + 2  # the first and the last wait for nothing


async def test_an_answer_that_reached_its_longest_length_says_so(user: User, provider: LLMock) -> None:
    provider.add(Reply(text="one two", finish_reason="length"))

    events = [event async for event in user.stream()]

    assert events[-1].message_end == pb.MessageEnd(finish_reason=pb.FINISH_REASON_LENGTH, partial=True)


async def test_an_answer_is_written_although_its_reader_left(user: User, provider: LLMock) -> None:
    provider.reply(LONG).pace(5)

    start = await user.begin()
    generation = await ended(user, start.generation_id)

    assert (generation.state, generation.text) == (pb.STATE_DONE, LONG)


async def test_a_running_answer_is_resumed_on_another_replica(user: User, other: Replica, provider: LLMock) -> None:
    provider.reply(LONG).pace(5)
    start = await user.begin()

    events = await user.at(other.stub).resume(start.generation_id, after=3)

    assert [event.sequence for event in events] == list(range(4, 4 + len(events)))
    assert kinds(events) == ["delta", "usage", "message_end"]


async def test_an_answer_that_ended_is_replayed_from_its_start(user: User, other: Replica, provider: LLMock) -> None:
    provider.reply("one two three")
    live = [event async for event in user.stream()]

    replayed = await user.at(other.stub).resume(live[0].message_start.generation_id)

    assert replayed == live


async def test_nothing_comes_after_the_last_event(user: User) -> None:
    live = [event async for event in user.stream()]

    assert await user.resume(live[0].message_start.generation_id, after=live[-1].sequence) == []


@pytest.mark.parametrize("given", [{}, {"after": 0}])
async def test_a_browser_that_connects_again_goes_on_after_the_last_event_it_saw(
    user: User, given: dict[str, int]
) -> None:
    live = [event async for event in user.stream()]
    generation_id = live[0].message_start.generation_id

    request = pb.ResumeGenerationRequest(generation_id=generation_id, **given)
    rest = user.stub.ResumeGeneration(request, metadata=(*user.metadata, ("last-event-id", "2")))

    assert [response.event for response in [part async for part in rest]] == live[1 if given else 3 :]


@pytest.mark.parametrize(("key", "seen"), [("k-1", 3), ("", 0)])
async def test_a_message_that_is_sent_again_goes_on_after_the_last_event_if_it_is_the_same(
    user: User, key: str, seen: int
) -> None:
    live = [event async for event in user.stream("hello", idempotency_key=key)]

    request = pb.StreamMessageRequest(message="hello", idempotency_key=key)
    call = user.stub.StreamMessage(request, metadata=(*user.metadata, ("last-event-id", "2")))
    again = [response.event for response in [part async for part in call]]

    assert again[0].sequence == seen
    assert (again == live[3:]) == bool(key)


async def test_an_id_that_no_event_has_is_refused(user: User) -> None:
    answered = await user.send()
    request = pb.ResumeGenerationRequest(generation_id=answered.message.generation_id)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.ResumeGeneration(request, metadata=(*user.metadata, ("last-event-id", "x"))).read()

    assert isinstance(received(refused.value), InvalidArgument)


async def test_several_readers_see_the_same(user: User, other: Replica, provider: LLMock) -> None:
    provider.reply(LONG).pace(3)
    start = await user.begin()

    first, second, third = await asyncio.gather(
        user.resume(start.generation_id),
        user.resume(start.generation_id, after=0),
        user.at(other.stub).resume(start.generation_id),
    )

    assert text(first) == LONG
    assert first == third == [first[0], *second]


async def test_events_that_are_no_longer_kept_cannot_be_resumed(user: User, redis: Redis) -> None:
    answered = await user.send()
    await redis.delete(f"chat:gen:{answered.message.generation_id}")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await user.resume(answered.message.generation_id)

    error = received(caught.value)
    assert isinstance(error, OutOfRange)
    assert error.reason == "STREAM_EXPIRED"


async def test_events_are_kept_for_ten_minutes(user: User, redis: Redis) -> None:
    answered = await user.send()

    assert 590 < await redis.ttl(f"chat:gen:{answered.message.generation_id}") <= 600


async def test_the_text_so_far_of_a_running_answer_can_be_read(user: User, provider: LLMock) -> None:
    provider.reply(LONG).pace(20)
    async with aclosing(user.stream()) as events:
        start = (await anext(events)).message_start
        while not (await anext(events)).HasField("delta"):
            pass
        generation = await user.generation(start.generation_id)
        otherwise_spelled = await user.generation(start.generation_id.upper())
    await user.cancel(start.generation_id)

    assert otherwise_spelled.text.startswith(generation.text)
    assert generation.state == pb.STATE_RUNNING
    assert generation.text
    assert LONG.startswith(generation.text)
    assert not generation.HasField("end_time")
    assert not generation.HasField("usage")


async def test_send_answers_with_the_whole_message(user: User, provider: LLMock) -> None:
    provider.reply("one two three")

    answered = await user.send("what?")

    assert answered.message.text == "one two three"
    assert answered.message.state == pb.STATE_DONE
    assert answered.message.parent_id == answered.user_message_id
    assert answered.message.usage.output_tokens > 0
    assert not answered.message.usage.estimated
