"""Answers whose readers have gone for good."""

import asyncio

from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock

from tests.chat_svc.conftest import Replica, Start
from tests.chat_svc.user import User
from tests.waiting import until

LONG = "word " * 2000


async def is_over(user: User, generation_id: str) -> pb.Generation:
    """The generation once it has ended, without being its reader."""

    async def ended() -> pb.Generation | None:
        found = await user.generation(generation_id)
        return None if found.state == pb.STATE_RUNNING else found

    return await until(ended)


async def test_an_answer_is_stopped_when_nobody_reads_it_on_any_replica(
    start: Start, other: Replica, provider: LLMock
) -> None:
    provider.reply(LONG, times=2).pace(20)
    async with start(unread_answer_grace=0.5, unread_answer_timeout=1.5) as replica:
        user = User(replica.stub)
        unread = await user.begin()
        begun = user.stream()
        read = (await anext(begun)).message_start
        elsewhere = user.at(other.stub).stream_again(read.generation_id)
        await anext(elsewhere)
        await begun.aclose()
        stopped = await is_over(user, unread.generation_id)
        still = await user.generation(read.generation_id)
        await user.cancel(read.generation_id)
        rest = [event async for event in elsewhere]
    told = await user.at(other.stub).resume(unread.generation_id)
    _, answer = (await user.at(other.stub).messages(unread.conversation_id)).messages

    assert still.state == pb.STATE_RUNNING
    assert rest[-1].message_end.finish_reason == pb.FINISH_REASON_CANCELLED
    assert (stopped.state, stopped.finish_reason) == (pb.STATE_CANCELLED, pb.FINISH_REASON_UNREAD)
    assert told[-1].message_end == pb.MessageEnd(finish_reason=pb.FINISH_REASON_UNREAD, partial=True)
    assert LONG.startswith(answer.text)
    assert not any(request.completed for request in await asyncio.to_thread(lambda: provider.requests))


async def test_of_the_answers_that_a_user_has_left_behind_the_last_go_on(start: Start, provider: LLMock) -> None:
    provider.reply(LONG, times=2).pace(20)
    async with start(unread_answer_grace=0.5, unread_answers_per_user=1) as replica:
        user = User(replica.stub)
        first = await user.begin()
        while not (await user.generation(first.generation_id)).text:
            await asyncio.sleep(0.02)
        last = await user.begin()
        stopped = await is_over(user, first.generation_id)
        still = await user.generation(last.generation_id)
        await user.cancel(last.generation_id)

    assert stopped.finish_reason == pb.FINISH_REASON_UNREAD
    assert still.state == pb.STATE_RUNNING
