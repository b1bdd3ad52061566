"""How every process hears of sessions that ended: Redis carries the news, PostgreSQL keeps the truth.

A session is revoked in PostgreSQL first; so is what an API key stood for. Should the process, or Redis, go away before
the news is out, the news is told again: at start, whenever telling failed, and when Redis has lost what it knew.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from auth_svc import session_store
from auth_svc.clock import Clock
from svckit.errors import Unavailable
from svckit.identity import CLOCK_LEEWAY
from svckit.postgres import Database
from svckit.revocations import revoke

log = structlog.get_logger(__name__)

_TOLD = "auth:revocations:told"  # lost together with what was told
_POLL_SECONDS = 1.0


class Endings:
    """Announces ended sessions for as long as one of their access tokens could be alive."""

    def __init__(self, *, database: Database, redis: Redis, token_life: timedelta, clock: Clock) -> None:
        self._database = database
        self._redis = redis
        # Once for who verifies, and once for the replica that signed, whose clock may be ahead of this one's.
        self._memory = token_life + 2 * CLOCK_LEEWAY
        self._clock = clock
        self._all_told = False

    async def announce(self, session_ids: Sequence[str]) -> None:
        """Tell of sessions whose end is committed. Never raises: what cannot be told now, `run` tells later."""
        try:
            for session_id in session_ids:
                await revoke(self._redis, session_id, for_=self._memory)
        except RedisError as error:
            self._all_told = False
            log.warning("ended sessions are announced later", sessions=len(session_ids), error=str(error))

    async def run(self) -> None:
        """Tell again for ever, when there is a reason to."""
        while True:
            try:
                if not (self._all_told and await self._redis.exists(_TOLD)):
                    await self._announce_recent()
            except (RedisError, Unavailable) as error:
                self._all_told = False
                log.warning("ended sessions cannot be announced", error=str(error))
            await asyncio.sleep(_POLL_SECONDS)

    async def _announce_recent(self) -> None:
        self._all_told = True  # before reading: what ends from here on announces itself, or says that it failed
        now = self._clock()
        async with self._database.transaction() as session:
            recent = await session_store.ended_since(session, now - self._memory)
        for session_id, revoked_at in recent:
            await revoke(self._redis, session_id, for_=revoked_at + self._memory - now)
        await self._redis.set(_TOLD, 1)
