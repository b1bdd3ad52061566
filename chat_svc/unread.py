"""Answers that nobody reads: so many of them go on, for so long, and the others are stopped."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from chat_svc.generations import Generations
from chat_svc.run import Stop
from chat_svc.streams import Streams
from svckit.errors import Unavailable

log = structlog.get_logger(__name__)

_BEAT = 1.0  # seconds between two looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What is let go on without readers: after `grace` alone an answer counts as left behind.

    Then it has until `longest`, which counts from the last reader too, and there may be so many of one user and in
    all, on one replica. Those that were left last go on.
    """

    grace: timedelta
    longest: timedelta
    per_user: int
    per_replica: int


class Unread:
    """Watches over the answers that this replica writes; their readers may be on any."""

    def __init__(self, *, generations: Generations, streams: Streams, tolerance: Tolerance) -> None:
        self._generations = generations
        self._streams = streams
        self._tolerance = tolerance
        # When each answer without readers was first seen without, on the monotonic clock.
        self._alone: Mapping[str, float] = {}

    async def watch(self) -> None:
        """Stop what goes on too long without readers, for ever."""
        while True:
            await asyncio.sleep(_BEAT)
            try:
                await self._look()
            except Unavailable:  # nobody knows who reads
                self._alone = {}

    async def _look(self) -> None:
        owners = self._generations.owners()
        unread = await self._streams.without_readers(list(owners))
        now = time.monotonic()
        self._alone = {id_: self._alone.get(id_, now) for id_ in unread}
        for generation_id in self._too_many(owners, now=now):
            log.info("nobody reads this answer", generation=generation_id)
            self._generations.stop(generation_id, Stop.UNREAD)

    def _too_many(self, owners: Mapping[str, str], *, now: float) -> Iterator[str]:
        """Those left behind that may not go on."""
        tolerance = self._tolerance
        left: Counter[str] = Counter()
        # Of those left within one beat, the ones that began last come first: ids grow with time.
        for since, id_ in sorted(((since, id_) for id_, since in self._alone.items()), reverse=True):
            alone = timedelta(seconds=now - since)
            if alone < tolerance.grace:
                continue
            left[owners[id_]] += 1
            crowded = left[owners[id_]] > tolerance.per_user or left.total() > tolerance.per_replica
            if crowded or alone >= tolerance.longest:
                yield id_
