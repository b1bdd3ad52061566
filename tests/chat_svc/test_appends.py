"""Events of many answers, written together: each finds its own place, and none suffers from another."""

import asyncio
from typing import Any

from redis.asyncio import Redis

from chat_svc.appends import Appends, Written
from svckit.ids import new_id


async def test_each_of_many_events_that_are_written_together_goes_to_its_own_stream(redis: Redis) -> None:
    appends, keys = Appends(redis, kept_seconds=60), [f"test:{new_id()}" for _ in range(250)]

    written = await asyncio.gather(*(appends.append(key, "1-0", key.encode()) for key in keys))
    kept = [await _events(redis, key) for key in keys]

    assert written == [Written.THERE] * len(keys)
    assert kept == [[key.encode()] for key in keys]
    assert 0 < await redis.ttl(keys[-1]) <= 60


async def test_an_event_that_has_no_place_does_not_keep_others_from_theirs(redis: Redis) -> None:
    appends, key, other = Appends(redis, kept_seconds=60), f"test:{new_id()}", f"test:{new_id()}"
    await appends.append(key, "1-0", b"one")
    await redis.set(other, "no stream")

    written = await asyncio.gather(
        appends.append(key, "1-0", b"one"),
        appends.append(other, "1-0", b"one"),
        appends.append(key, "1-0", b"another"),
        appends.append(key, "2-0", b"two"),
    )

    outcomes = [Written.THERE, Written.FAILED, Written.SUPERSEDED, Written.THERE]
    assert list(written) == outcomes
    assert await _events(redis, key) == [b"one", b"two"]


async def test_a_writer_that_is_cancelled_takes_no_other_with_it(redis: Redis) -> None:
    appends, key, other = Appends(redis, kept_seconds=60), f"test:{new_id()}", f"test:{new_id()}"
    leaving = asyncio.create_task(appends.append(key, "1-0", b"one"))
    staying = asyncio.create_task(appends.append(other, "1-0", b"one"))

    await asyncio.sleep(0)  # both have begun
    leaving.cancel()

    assert await staying is Written.THERE
    assert leaving.cancelled()


async def _events(redis: Redis, key: str) -> list[bytes]:
    entries: Any = await redis.xrange(key)
    return [event[b"event"] for _, event in entries]
