"""How much at once, and how often the same."""

import asyncio
from functools import partial

import sqlalchemy
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import store
from svckit import postgres
from svckit.errors import ResourceExhausted
from tests.callers import refusal
from tests.chat_svc.conftest import Replica
from tests.chat_svc.user import User, kinds, reached
from tests.waiting import until

LONG = "word " * 200


async def test_a_third_answer_at_the_same_time_is_refused(user: User, provider: LLMock) -> None:
    provider.slow_first_token(600, times=2)
    first, second = await user.begin(), await user.begin()

    error = await refusal(user.send())

    assert isinstance(error, ResourceExhausted)
    assert error.reason == "TOO_MANY_GENERATIONS"
    assert error.retry_after is not None
    for start in (first, second):
        await user.cancel(start.generation_id)


async def test_an_answer_that_ended_makes_room(user: User, provider: LLMock, llmock_server: LLMockServer) -> None:
    provider.slow_first_token(600, times=2)
    first, second = await user.begin(), await user.begin()
    await reached(llmock_server, times=2)
    await user.cancel(first.generation_id)

    answered = await user.send()

    assert answered.message.state == pb.STATE_DONE
    await user.cancel(second.generation_id)


async def test_sends_that_race_on_two_replicas_never_pass_the_limit(
    user: User, other: Replica, provider: LLMock
) -> None:
    provider.slow_first_token(600, times=2)
    elsewhere = user.at(other.stub)

    outcomes = await asyncio.gather(
        *(who.begin() for who in (user, elsewhere) for _ in range(5)), return_exceptions=True
    )

    begun = [outcome for outcome in outcomes if isinstance(outcome, pb.MessageStart)]
    assert len(begun) == 2
    for start in begun:
        await user.cancel(start.generation_id)


async def test_somebody_elses_answers_do_not_count(
    user: User, stranger: User, provider: LLMock, llmock_server: LLMockServer
) -> None:
    provider.slow_first_token(600, times=2)
    begun = [await user.begin(), await user.begin()]
    await reached(llmock_server, times=2)

    assert (await stranger.send()).message.state == pb.STATE_DONE
    for start in begun:
        await user.cancel(start.generation_id)


async def waiting(session: AsyncSession) -> int:
    """How many connections to this database wait for a turn."""
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = {}"
    own = "(SELECT oid FROM pg_database WHERE datname = current_database())"
    return int(await session.scalar(sqlalchemy.text(query.format(own))) or 0)


async def test_somebody_elses_many_sends_leave_connections_to_the_database(
    user: User, stranger: User, one: Replica, provider: LLMock
) -> None:
    """They wait for a turn that another replica has, and at most one of them in the database."""
    async with postgres.connected(str(one.settings.database_url), pool_size=1) as database:
        async with database.transaction() as session:
            await store.lock_owner(await postgres.driver_of(session), user.id)
            calls = [asyncio.create_task(call) for _ in range(15) for call in (user.begin(), user.create())]
            await until(partial(waiting, session))
            await stranger.send()
            assert await waiting(session) == 1
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert sum(isinstance(outcome, pb.Conversation) for outcome in outcomes) == 15


async def test_a_repeat_attaches_to_the_same_answer(user: User, other: Replica, provider: LLMock) -> None:
    provider.reply(LONG).pace(3)
    start = await user.begin(idempotency_key="once")

    streamed = [event async for event in user.at(other.stub).stream(idempotency_key="once")]
    answered = await user.send(idempotency_key="once")

    assert streamed[0].message_start == start
    assert kinds(streamed)[-1] == "message_end"
    assert answered.message.id == start.message_id
    assert len(provider.requests) == 1
    assert len((await user.messages(start.conversation_id)).messages) == 2


async def test_repeats_that_race_begin_one_answer(user: User, other: Replica, provider: LLMock) -> None:
    elsewhere = user.at(other.stub)

    answers = await asyncio.gather(*(who.send(idempotency_key="race") for who in (user, elsewhere) for _ in range(4)))

    assert len({answered.message.id for answered in answers}) == 1
    assert len(provider.requests) == 1


async def test_a_repeat_is_answered_while_the_limit_is_reached(user: User, provider: LLMock) -> None:
    provider.slow_first_token(600, times=2)
    first, second = await user.begin(idempotency_key="first"), await user.begin()

    again = await user.begin(idempotency_key="first")

    assert again == first
    for start in (first, second):
        await user.cancel(start.generation_id)


async def test_keys_are_each_users_own(user: User, stranger: User) -> None:
    mine, theirs = await user.send(idempotency_key="k"), await stranger.send(idempotency_key="k")

    assert mine.message.id != theirs.message.id
