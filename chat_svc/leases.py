"""Which replicas are alive: each keeps a key in Redis alive, and ends the generations of those that do not any more."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chat_svc import store, usage_store
from chat_svc.endings import Endings
from chat_svc.generations import Generations
from svckit.errors import Unavailable
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_BEAT = 1.0  # seconds between two renewals, and between two looks at the others
_LEASE = timedelta(seconds=3)
# A lease must be missed for this long before its replica counts as gone: Redis may have started again without any.
_DOUBT = 3.0
# A generation of this very replica that it does not know of: its start was lost between commit and answer.
_STRAY = timedelta(seconds=30)

_RESERVATIONS = Gauge(
    "chat_quota_reservations", "Answers being written that tokens are held back for, by all replicas."
)
_RESERVED = Gauge("chat_quota_reserved_tokens", "Tokens of all users' plans that are held back for them.")


class Leases:
    """The lease of this replica, and its watch over the others'."""

    def __init__(self, *, redis: Redis, database: Database, endings: Endings, generations: Generations) -> None:
        self._redis = redis
        self._database = database
        self._endings = endings
        self._generations = generations
        self._missed: dict[str, float] = {}

    async def hold(self) -> None:
        """Keep this replica's lease, for ever."""
        while True:
            with _next_time():
                await self._redis.set(_key(self._generations.replica), 1, px=_LEASE)
            await asyncio.sleep(_BEAT)

    async def watch(self) -> None:
        """End what replicas that are gone were writing, for ever."""
        while True:
            with _next_time():
                for runner in await self._gone():
                    await self._end_all(runner, since_before=datetime.now(UTC))
                    await self._release(runner)
                await self._end_all(self._generations.replica, since_before=datetime.now(UTC) - _STRAY)
                await self._measure()
            await asyncio.sleep(_BEAT)

    async def _gone(self) -> list[str]:
        """The replicas with running generations whose lease has been missed for long enough."""
        async with self._database.transaction() as session:
            others = [runner for runner in await store.runners(session) if runner != self._generations.replica]
        missed, self._missed = self._missed, {}  # forgotten if Redis does not answer
        held = await self._redis.mget([_key(runner) for runner in others]) if others else []
        now = time.monotonic()
        missing = [runner for runner, lease in zip(others, held, strict=True) if lease is None]
        self._missed = {runner: missed.get(runner, now) for runner in missing}
        return [runner for runner, since in self._missed.items() if now - since >= _DOUBT]

    async def _end_all(self, runner: str, *, since_before: datetime) -> None:
        async with self._database.transaction() as session:
            found = await store.running_on(session, runner, since_before=since_before)
        for generation in found:
            if not self._generations.writes(generation.id):
                await self._endings.abandon(generation)

    async def _release(self, runner: str) -> None:
        """Give back what a replica that is gone held back for work that was deleted while it did it."""
        async with self._database.transaction() as session:
            await usage_store.release_idle(session, runner)

    async def _measure(self) -> None:
        """Tell what is held back: it must come down to nothing when nobody writes."""
        async with self._database.transaction() as session:
            works, tokens = await usage_store.held_back(session)
        _RESERVATIONS.set(works)
        _RESERVED.set(tokens)


@contextmanager
def _next_time() -> Iterator[None]:
    """Leave it to the next beat when Redis or the database is away."""
    try:
        yield
    except (RedisError, Unavailable) as error:
        log.warning("leases wait", error=str(error))


def _key(replica: str) -> str:
    return f"chat:replica:{replica}"
