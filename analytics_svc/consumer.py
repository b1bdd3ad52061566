"""Counts every event of the stream once, whatever dies and whenever.

In the order of the stream: announce a batch in the record, insert it under a name made of its first and last number,
note it as done. A batch that was announced and not noted is read again by whoever comes next, who gives each table what
it lacks of it. The views, not only the raw table, come out right.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from prometheus_client import Counter, Gauge

from analytics_svc import completing, forgetting, position, store
from analytics_svc.clickhouse import ClickHouse
from analytics_svc.position import Fenced, Position
from analytics_svc.reader import Interrupted, place, reading
from analytics_svc.rows import EventRow, row
from analytics_svc.upkeep import Upkeep
from svckit.errors import ResourceExhausted, Unavailable
from svckit.events import BadEvent, Bus, processing_batch, raise_if_cancelled, received
from svckit.ids import new_id

DURABLE = "analytics"

_BATCH = 5000
_LINGER = timedelta(milliseconds=250)
# How long to wait for events: less when there is something else to do.
_IDLE, _BUSY = timedelta(seconds=2), timedelta(milliseconds=20)
_RETRY_SECONDS = 0.5
# An instance that steps back takes over once the other has made no progress for so long.
_QUIET_SECONDS = 5
# Mapping is work for the processor: let RPCs in between.
_MAPPED_AT_ONCE = 200

log = structlog.get_logger(__name__)
_events = Counter("analytics_events", "Events read from the stream, by what became of them.", ["outcome"])
_backlog = Gauge("analytics_backlog_events", "Events in the stream that are not counted yet.")
_lag = Gauge("analytics_lag_seconds", "Age of the oldest event that was read and is not counted yet.")
_last_event = Gauge("analytics_last_event_timestamp_seconds", "Time of the newest event that is counted.")


class Consumer:
    def __init__(self, *, bus: Bus, clickhouse: ClickHouse, upkeep: Upkeep) -> None:
        self._bus = bus
        self._clickhouse = clickhouse
        self._upkeep = upkeep
        self._owner = new_id()
        self._waiting_since: float | None = None
        _lag.set_function(self._seconds_waiting)

    async def run(self) -> None:
        """Count events for ever; while another instance does, stand by."""
        while True:
            try:
                await self._follow(await self._bus.jetstream())
            except Fenced:
                log.info("another instance counts the events, standing by")
                await self._stand_by()
            except (nats.errors.Error, Interrupted, Unavailable, ResourceExhausted) as error:
                raise_if_cancelled()
                log.warning("counting interrupted", error=str(error) or type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self, jetstream: JetStreamContext) -> None:
        self._upkeep.begin_anew()
        at = await position.load(jetstream, owner=self._owner)
        if at.begun:
            first, last = at.begun
            log.info("finishing a batch that was begun", batch=at.batch)
            async with reading(jetstream, start=first) as reader:
                await self._count(await reader.through(last), at, was_begun=True)
        async with reading(jetstream, start=at.done + 1) as reader:
            idle = _IDLE
            while True:
                if messages := await reader.batch(limit=_BATCH, linger=_LINGER, idle=idle):
                    self._waiting_since = messages[0].metadata.timestamp.timestamp()
                    _backlog.set(len(messages) + messages[-1].metadata.num_pending)
                    await at.begin(place(messages[-1]), blocks=await completing.newest_blocks(self._clickhouse))
                    await self._count(messages, at, was_begun=False)
                _backlog.set(messages[-1].metadata.num_pending if messages else 0)
                idle = _BUSY if await self._upkeep.step(jetstream, at) else _IDLE

    async def _count(self, messages: Sequence[Msg], at: Position, *, was_begun: bool) -> None:
        """Insert the batch that is announced, or complete it if its insert was begun before, and note it as done."""
        with processing_batch(messages, consumer=DURABLE):
            rows = await self._rows(messages, at.batch)
            fresh = await store.unseen(self._clickhouse, rows, batch=at.batch)
            fresh = await forgetting.with_pseudonyms(self._clickhouse, fresh)
            if fresh:
                if was_begun:
                    await completing.complete(self._clickhouse, fresh, batch=at.batch, before=at.blocks)
                else:
                    await store.add_events(self._clickhouse, fresh, batch=at.batch)
                _last_event.set(max(row.ts for row in fresh).timestamp())
            await at.finish()
        self._waiting_since = None
        _events.labels("counted").inc(len(fresh))
        _events.labels("duplicate").inc(len(rows) - len(fresh))

    async def _rows(self, messages: Sequence[Msg], batch: str) -> list[EventRow]:
        rows: list[EventRow] = []
        for number, message in enumerate(messages, start=1):
            try:
                rows.append(row(received(message), seq=place(message), batch=batch))
            except BadEvent as error:
                await self._put_away(message, str(error))
            if number % _MAPPED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return rows

    async def _put_away(self, message: Msg, reason: str) -> None:
        log.error("event is a dead letter", subject=message.subject, place=place(message), reason=reason)
        await self._bus.dead_letter(message, durable=DURABLE, reason=reason)
        _events.labels("dead_letter").inc()

    async def _stand_by(self) -> None:
        """Return when no instance has made progress for a while: the other one is gone, or there is nothing to do."""
        self._waiting_since = None
        seen, since = -1, time.monotonic()
        while time.monotonic() < since + _QUIET_SECONDS:
            revision = await position.revision(await self._bus.jetstream())
            if revision != seen:
                seen, since = revision, time.monotonic()
            await asyncio.sleep(1)

    def _seconds_waiting(self) -> float:
        return time.time() - self._waiting_since if self._waiting_since else 0.0
