"""Converse: many requests over one connection, answered side by side."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock
from redis.asyncio import Redis

from chat_svc import conversing
from svckit.errors import NotFound, Unauthenticated
from svckit.ids import new_id
from svckit.revocations import revoke
from tests.callers import refusal, signed_in
from tests.chat_svc.conftest import Replica
from tests.chat_svc.user import User, ended, kinds, text

if TYPE_CHECKING:
    ConverseCall = grpc.aio.StreamStreamCall[pb.ConverseRequest, pb.ConverseResponse]

LONG = "word " * 300


class Connection:
    """One connection of a user."""

    def __init__(self, user: User, *, session_id: str = "") -> None:
        metadata = signed_in(user.id, session_id=session_id)
        self.call: ConverseCall = user.stub.Converse(metadata=metadata)

    async def send(self, request_id: str, message: str = "hello", **more: Any) -> None:
        await self.ask(request_id, send=pb.StreamMessageRequest(message=message, **more))

    async def resume(self, request_id: str, generation_id: str, **more: Any) -> None:
        await self.ask(request_id, resume=pb.ResumeGenerationRequest(generation_id=generation_id, **more))

    async def cancel(self, request_id: str, generation_id: str) -> None:
        await self.ask(request_id, cancel=pb.CancelGenerationRequest(generation_id=generation_id))

    async def ask(self, request_id: str, **action: Any) -> None:
        await self.call.write(pb.ConverseRequest(request_id=request_id, **action))

    async def hear(self) -> pb.ConverseResponse:
        answer = await self.call.read()
        assert isinstance(answer, pb.ConverseResponse)
        return answer

    async def rest(self) -> dict[str, list[pb.ConverseResponse]]:
        """All that comes until the end, by request, after the client has ended its side."""
        await self.call.done_writing()
        found: dict[str, list[pb.ConverseResponse]] = {}
        async for answer in self.call:
            found.setdefault(answer.request_id, []).append(answer)
        return found


def events(answers: list[pb.ConverseResponse]) -> list[pb.GenerationEvent]:
    return [answer.event for answer in answers]


async def test_messages_are_answered_side_by_side_each_under_its_requests_id(user: User, provider: LLMock) -> None:
    provider.reply(LONG).pace(2)
    provider.reply(LONG).pace(2)
    connection = Connection(user)
    await connection.send("a", "one")
    await connection.send("b", "two")

    found = await connection.rest()

    order = {id_: [event.sequence for event in events(answers)] for id_, answers in found.items()}
    assert order == {id_: [*range(len(numbers))] for id_, numbers in order.items()}
    for id_ in ("a", "b"):
        assert kinds(events(found[id_])) == ["message_start", "title", "delta", "usage", "message_end"]
        assert text(events(found[id_])) == LONG
        assert {answer.generation_id for answer in found[id_]} == {found[id_][0].event.message_start.generation_id}
    assert found["a"][0].generation_id != found["b"][0].generation_id


async def test_leaving_is_not_cancelling_and_another_replica_goes_on(
    user: User, other: Replica, provider: LLMock
) -> None:
    provider.reply(LONG).pace(2)
    left = Connection(user)
    await left.send("a")
    start = (await left.hear()).event.message_start
    left.call.cancel()

    again = Connection(user.at(other.stub))
    await again.resume("b", start.generation_id, after=0)
    found = events((await again.rest())["b"])

    assert [event.sequence for event in found] == [*range(1, len(found) + 1)]
    assert text(found) == LONG
    assert (await ended(user, start.generation_id)).state == pb.STATE_DONE


async def test_cancelling_ends_the_events_and_is_answered_itself(user: User, provider: LLMock) -> None:
    provider.reply(LONG).pace(20)
    connection = Connection(user)
    await connection.send("a")
    start = (await connection.hear()).event.message_start
    await connection.cancel("stop", start.generation_id)

    found = await connection.rest()

    (stopped,) = found["stop"]
    assert stopped.cancelled.state == pb.STATE_CANCELLED
    assert stopped.generation_id == start.generation_id
    assert found["a"][-1].event.message_end.finish_reason == pb.FINISH_REASON_CANCELLED


async def test_what_is_wrong_is_refused_by_name_and_the_rest_goes_on(user: User) -> None:
    connection = Connection(user)
    await connection.send("empty", "")
    await connection.send("model", model="gpt-0")
    await connection.send("parent", parent_id="x")
    await connection.resume("unknown", new_id())
    await connection.cancel("no id", "x")
    await connection.ask("nothing")
    await connection.send("good")

    found = await connection.rest()

    refused = {id_: answers[0].refusal for id_, answers in found.items() if id_ != "good"}
    assert {id_: (refusal.code, [v.field for v in refusal.violations]) for id_, refusal in refused.items()} == {
        "empty": ("invalid_argument", ["send.message"]),
        "model": ("model_unknown", ["model"]),
        "parent": ("invalid_argument", ["send.parent_id"]),
        "unknown": ("not_found", []),
        "no id": ("invalid_argument", ["cancel.generation_id"]),
        "nothing": ("invalid_argument", ["action"]),
    }
    assert kinds(events(found["good"]))[-1] == "message_end"


async def test_the_limit_on_answers_at_once_is_a_refusal_that_says_when_to_come_again(
    user: User, provider: LLMock
) -> None:
    provider.slow_first_token(600, times=2)
    begun = [await user.begin(), await user.begin()]
    connection = Connection(user)
    await connection.send("third")

    (refused,) = (await connection.rest())["third"]

    assert refused.refusal.code == "too_many_generations"
    assert refused.refusal.retry_after.seconds
    for start in begun:
        await user.cancel(start.generation_id)


async def test_more_requests_at_once_than_a_connection_may_have_are_refused(user: User, provider: LLMock) -> None:
    provider.slow_first_token(600, times=None)
    start = await user.begin()
    connection = Connection(user)
    for number in range(conversing.MAX_AT_ONCE + 1):
        await connection.resume(str(number), start.generation_id, after=1)
    refused = await connection.hear()
    await user.cancel(start.generation_id)

    found = await connection.rest()

    assert (refused.request_id, refused.refusal.code) == (str(conversing.MAX_AT_ONCE), "too_many_requests")
    assert all(answers[-1].event.HasField("message_end") for answers in found.values())
    assert len(found) == conversing.MAX_AT_ONCE


async def test_a_repeat_with_the_same_key_attaches_to_the_same_answer(user: User, provider: LLMock) -> None:
    connection = Connection(user)
    await connection.send("a", idempotency_key="k")
    await connection.send("b", idempotency_key="k")

    found = await connection.rest()

    assert events(found["a"]) == events(found["b"])
    assert len(provider.requests) == 1


async def test_somebody_elses_generations_are_refused(user: User, stranger: User) -> None:
    sent = await user.send()
    connection = Connection(stranger)
    await connection.resume("resume", sent.message.generation_id)
    await connection.cancel("cancel", sent.message.generation_id)
    await connection.send("send", conversation_id=sent.conversation_id)

    found = await connection.rest()

    assert {id_: answers[0].refusal.code for id_, answers in found.items()} == dict.fromkeys(
        ("resume", "cancel", "send"), "not_found"
    )


async def test_a_session_that_was_ended_asks_for_nothing_more(user: User, redis: Redis) -> None:
    session_id = new_id()
    connection = Connection(user, session_id=session_id)
    await connection.ask("before")
    assert (await connection.hear()).refusal.violations
    await revoke(redis, session_id, for_=timedelta(hours=1))

    async def go_on() -> None:
        while True:  # until this replica has heard of it
            await connection.ask("after")
            await connection.hear()

    assert isinstance(await refusal(go_on()), Unauthenticated)


async def test_a_client_that_does_not_read_holds_its_generations_back() -> None:
    taken = 0

    async def endless(request: pb.ConverseRequest) -> AsyncGenerator[pb.ConverseResponse, None]:
        nonlocal taken
        while True:
            taken += 1
            yield pb.ConverseResponse()
            await asyncio.sleep(0)

    async with aclosing(conversing.answers(_forever(), admit=_everybody, perform=endless)) as answers:
        await anext(answers)
        for _ in range(1_000):
            await asyncio.sleep(0)

        assert taken < 40


async def test_a_request_that_breaks_ends_the_connection_with_its_error() -> None:
    async def broken(request: pb.ConverseRequest) -> AsyncGenerator[pb.ConverseResponse, None]:
        yield pb.ConverseResponse()
        raise ZeroDivisionError

    async with aclosing(conversing.answers(_forever(), admit=_everybody, perform=broken)) as answers:
        await anext(answers)
        with pytest.raises(ZeroDivisionError):
            await anext(answers)


async def test_who_is_not_let_in_any_more_is_told_why() -> None:
    async def nobody() -> None:
        raise NotFound("gone")

    async def never(request: pb.ConverseRequest) -> AsyncGenerator[pb.ConverseResponse, None]:
        yield pb.ConverseResponse()

    async with aclosing(conversing.answers(_forever(), admit=nobody, perform=never)) as answers:
        with pytest.raises(NotFound):
            await anext(answers)


async def _forever() -> AsyncIterator[pb.ConverseRequest]:
    """One request, and then silence."""
    yield pb.ConverseRequest(request_id="a")
    await asyncio.Event().wait()


async def _everybody() -> None:
    pass
