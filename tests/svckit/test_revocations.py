import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from svckit import process, revocations
from svckit.ids import new_id
from svckit.local import Engines
from svckit.revocations import Revocations, revoke

MINUTES = timedelta(minutes=10)


@pytest.fixture
async def redis(engines: Engines) -> AsyncIterator[Redis]:
    async with Redis.from_url(engines.redis_url) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_an_ended_session_is_known_everywhere(redis: Redis) -> None:
    first, second = Revocations(redis), Revocations(redis)
    session = new_id()
    async with process.background(first.run, second.run):
        await first.ready.wait()
        await second.ready.wait()
        await revoke(redis, session, for_=MINUTES)
        await until(lambda: first.contains(session) and second.contains(session))

    assert not first.contains(new_id())


async def test_a_process_that_starts_later_knows_what_was_ended_before(redis: Redis) -> None:
    session = new_id()
    await revoke(redis, session, for_=MINUTES)
    late = Revocations(redis)
    async with process.background(late.run):
        await late.ready.wait()

    assert late.contains(session)


async def test_a_client_that_answers_text_works_as_well(engines: Engines) -> None:
    async with Redis.from_url(engines.redis_url, decode_responses=True) as redis:
        before, after = new_id(), new_id()
        await revoke(redis, before, for_=MINUTES)
        listening = Revocations(redis)
        async with process.background(listening.run):
            await listening.ready.wait()
            await revoke(redis, after, for_=MINUTES)
            await until(lambda: listening.contains(after))

    assert listening.contains(before)


async def test_what_was_ended_while_redis_was_away_is_known_after_it_is_back(engines: Engines, redis: Redis) -> None:
    assert engines.valkey is not None
    heard, missed = new_id(), new_id()
    listening = Revocations(redis)
    async with process.background(listening.run):
        await listening.ready.wait()
        await revoke(redis, heard, for_=MINUTES)
        await until(lambda: listening.contains(heard))
        await engines.valkey.restart()
        # Written without the announcement, as if the announcement had come while nobody could listen.
        async with Redis.from_url(engines.redis_url) as other:
            await other.zadd(revocations.KEY, {missed: time.time() + 600})
        await until(lambda: listening.contains(missed))

    assert listening.contains(heard)


async def test_what_redis_has_lost_is_not_forgotten_with_it(redis: Redis) -> None:
    lost, later = new_id(), new_id()
    listening = Revocations(redis)
    async with process.background(listening.run):
        await listening.ready.wait()
        await revoke(redis, lost, for_=MINUTES)
        await until(lambda: listening.contains(lost))
        await redis.delete(revocations.KEY)
        await redis.client_kill_filter(_type="pubsub")
        await redis.zadd(revocations.KEY, {later: time.time() + 600})
        await until(lambda: listening.contains(later))

    assert listening.contains(lost)


async def test_a_session_is_forgotten_when_no_token_of_it_can_be_alive(redis: Redis) -> None:
    long_ago, session = new_id(), new_id()
    await redis.zadd(revocations.KEY, {long_ago: time.time() - 1})
    listening = Revocations(redis)
    async with process.background(listening.run):
        await listening.ready.wait()
        await revoke(redis, session, for_=timedelta(seconds=0))
        await until(lambda: listening.contains(session))
        while listening.contains(session):
            await revoke(redis, new_id(), for_=MINUTES)
            await asyncio.sleep(0.01)

    assert not listening.contains(long_ago)
    assert await redis.zscore(revocations.KEY, long_ago) is None


async def test_a_second_shorter_revocation_does_not_shorten_the_first(redis: Redis) -> None:
    session = new_id()
    await revoke(redis, session, for_=MINUTES)
    await revoke(redis, session, for_=timedelta(seconds=1))

    score = await redis.zscore(revocations.KEY, session)
    assert score is not None
    assert float(score) > time.time() + 500
