"""Sessions that were ended before their access tokens expire: known to every process within a second.

Redis holds them in a sorted set (member = session id, score = Unix time after which no token of it can be alive) and
announces each on a channel. A process listens first and reads the set after, so that nothing falls between the two;
it does both again after every reconnect.
"""

import asyncio
import time
from datetime import timedelta
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from svckit import redis_client

CHANNEL = "auth:revocations"
KEY = "auth:revoked"

_RETRY = 0.2  # seconds between attempts to reach Redis again

log = structlog.get_logger(__name__)


async def revoke(redis: Redis, session_id: str, *, for_: timedelta) -> None:
    """End a session for every process: `for_` is how long an access token of it can still be alive."""
    now = time.time()
    expiry = int(now + for_.total_seconds()) + 1
    async with redis.pipeline(transaction=True) as pipe:
        pipe.zremrangebyscore(KEY, "-inf", now)
        pipe.zadd(KEY, {session_id: expiry}, gt=True)
        pipe.publish(CHANNEL, f"{expiry}:{session_id}")
        await pipe.execute()


class Revocations:
    """A process's own copy of the ended sessions; `ready` is set while it hears of new ones.

    While Redis is away it goes on with what it knows: tokens are short-lived, and a store that is away must not
    sign everybody out.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._expiries: dict[str, float] = {}
        self.ready = asyncio.Event()

    def contains(self, session_id: str) -> bool:
        """Whether that session was ended; no I/O."""
        return session_id in self._expiries

    async def run(self) -> None:
        """Listen for ever; a lost connection is made again."""
        while True:
            try:
                await self._listen()
            except RedisError as error:
                log.warning("revocations are not heard", error=str(error))
            finally:
                self.ready.clear()
            await asyncio.sleep(_RETRY)

    async def _listen(self) -> None:
        """Follow the channel; redis-py subscribes again by itself after a reconnect, and says so with a message."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(CHANNEL)
            while True:
                message = await redis_client.next_message(pubsub)
                if message["type"] == "subscribe":
                    await self._read_all()
                    self.ready.set()
                elif message["type"] == "message":
                    expiry, _, session_id = _text(message["data"]).partition(":")
                    self._expiries[session_id] = float(expiry)
                self._forget_expired()

    async def _read_all(self) -> None:
        found: Any = await self._redis.zrangebyscore(KEY, time.time(), "+inf", withscores=True)
        # Added to what is known: Redis may have come back without what it knew.
        self._expiries |= {_text(session_id): float(expiry) for session_id, expiry in found}

    def _forget_expired(self) -> None:
        now = time.time()
        for session_id in [session_id for session_id, expiry in self._expiries.items() if expiry < now]:
            del self._expiries[session_id]


def _text(value: str | bytes) -> str:
    """Redis clients answer text or bytes, as they were made."""
    return value.decode() if isinstance(value, bytes) else value
