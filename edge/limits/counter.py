"""Counts with all edges together, and alone for as long as Redis is away."""

import asyncio
from typing import Protocol

import prometheus_client
import structlog
from redis.exceptions import RedisError

from edge.limits.local import LocalCounter
from edge.limits.rates import Check, Rate, Standing

_RETRY = 0.5  # seconds between attempts to reach Redis again
_PROBE = Check(Rate("probe", 60), "edge")

_LOCAL = prometheus_client.Gauge(
    "edge_rate_limit_local", "1 while this edge counts requests alone, because Redis does not answer."
)

log = structlog.get_logger(__name__)


class Shared(Protocol):
    """Who counts for all: `SharedCounter`."""

    async def check(self, check: Check) -> Standing: ...


class Counter:
    """Says where clients stand, always and at once.

    The first request that Redis does not answer in time sends all that follow to the process's own counter, so that an
    outage costs a few requests a moment and no request is let in uncounted. `run` asks until Redis is back.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._local = LocalCounter()
        self._away = asyncio.Event()

    async def check(self, check: Check) -> Standing:
        if not self._away.is_set():
            try:
                return await self._shared.check(check)
            except (RedisError, OSError) as error:
                self._leave(error)
        return self._local.check(check)

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await self._away.wait()
            await asyncio.sleep(_RETRY)
            try:
                await self._shared.check(_PROBE)
            except (RedisError, OSError):
                continue
            self._away.clear()
            _LOCAL.set(0)
            log.info("rate limits are shared again")

    def _leave(self, error: Exception) -> None:
        if not self._away.is_set():  # several requests may have waited for the same answer
            log.warning("rate limits are counted by this edge alone", error=str(error) or repr(error))
            _LOCAL.set(1)
            self._away.set()
