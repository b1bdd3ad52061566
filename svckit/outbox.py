"""The transactional outbox: an event is written beside the rows that it tells of, and published afterwards.

Both commit together, so no event is lost and none tells of what never happened. The relay publishes in the order of
ids and deletes what the stream has stored; after a crash in between it publishes again, and the stream knows the
event's id. There is no watermark: an id that commits late is found late, not skipped.
"""

import asyncio
import time
from functools import cache

import structlog
from prometheus_client import Gauge
from psycopg.rows import DictRow
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    any_,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from svckit import postgres
from svckit.events import Bus, Event, sending
from svckit.postgres import Database
from svckit.statements import Driver, Statement

log = structlog.get_logger(__name__)

_BATCH = 500
_POLL_SECONDS = 1.0
_SPACING_SECONDS = 0.05  # between two batches: a batch of one costs nearly what one of twenty costs
_MEASURE_SECONDS = 5.0


def outbox_table(metadata: MetaData) -> Table:
    """`outbox` of the metadata's schema: events that are not yet known to be in the stream."""
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("event_id", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("source", Text, nullable=False),
        Column("about", Text, nullable=False),
        Column("time", DateTime(timezone=True), nullable=False),
        Column("data", LargeBinary, nullable=False),
        Column("traceparent", Text, nullable=False),
    )


def processed_table(metadata: MetaData) -> Table:
    """`processed_events` of the metadata's schema: which consumer has applied which event."""
    return Table(
        "processed_events",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("event_id", Text, primary_key=True),
        Column("processed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Index("processed_events_processed_at", "processed_at"),
    )


async def add(session: AsyncSession, table: Table, event: Event) -> None:
    """Have the event published if, and only if, the session's transaction commits."""
    await add_directly(await postgres.driver_of(session), table, event)


async def add_directly(driver: Driver, table: Table, event: Event) -> None:
    """The same, in a transaction on the driver itself."""
    values = {
        "event_id": event.id,
        "subject": event.subject,
        "type": event.type,
        "source": event.source,
        "about": event.about,
        "time": event.time,
        "data": event.data,
        "traceparent": event.traceparent,
    }
    await _adding(table).run(driver, values)


@cache
def _adding(table: Table) -> Statement:
    given = {column.key: bindparam(column.key, type_=column.type) for column in table.c if not column.server_default}
    return Statement(insert(table).values(given).returning(func.pg_notify(_channel(table), "")))


class Relay:
    """Publishes one schema's outbox. Of many replicas one works, holding an advisory lock; the others wait for it.

    The lock, the batch and LISTEN share one connection: whoever loses it has lost the lock and the batch with it.
    """

    def __init__(self, *, database: Database, table: Table, bus: Bus) -> None:
        self._database = database
        self._table = table
        self._bus = bus
        oldest = select(table).order_by(table.c.id).limit(_BATCH)
        self._oldest = Statement(oldest.with_for_update(skip_locked=True))
        self._forget = Statement(delete(table).where(table.c.id == any_(bindparam("stored", type_=ARRAY(BigInteger)))))
        self._measured = -_MEASURE_SECONDS
        self._complaint = ""

    async def run(self) -> None:
        """Publish for ever. Raises when PostgreSQL goes away: run it again."""
        async with self._database.dedicated() as connection:
            await postgres.hold(connection, _channel(self._table))
            driver = await postgres.listen(connection, _channel(self._table))
            while True:
                began = time.monotonic()
                found, stored = await self._publish_batch(driver)
                await self._measure(connection)
                if stored < _BATCH:
                    # While the stream is away, a notification is no reason to try again at once.
                    await _pause(driver, until_notified=stored == found)
                    await asyncio.sleep(began + _SPACING_SECONDS - time.monotonic())

    async def _publish_batch(self, driver: Driver) -> tuple[int, int]:
        """Publish the oldest events; how many there were, and how many of them the stream has stored."""
        async with driver.transaction():
            rows = await self._oldest.rows(driver, {})
            if not rows:
                return 0, 0
            events = [_event(row) for row in rows]
            with sending(events, outbox=str(self._table)):
                failures = await self._bus.publish_all(events)
                stored = [row["id"] for row, failure in zip(rows, failures, strict=True) if failure is None]
                await self._forget.run(driver, {"stored": stored})
        self._complain(next((str(failure) for failure in failures if failure is not None), ""))
        return len(rows), len(stored)

    def _complain(self, reason: str) -> None:
        """Say why events wait, once for each reason."""
        if reason and reason != self._complaint:
            log.warning("events wait in the outbox", outbox=str(self._table), error=reason)
        self._complaint = reason

    async def _measure(self, connection: AsyncConnection) -> None:
        if time.monotonic() < self._measured + _MEASURE_SECONDS:
            return
        self._measured = time.monotonic()
        age = func.extract("epoch", func.now() - func.min(self._table.c.created_at))
        pending, oldest = (await connection.execute(select(func.count(), age).select_from(self._table))).one()
        await connection.commit()
        rows, seconds = _gauges()
        rows.labels(str(self._table)).set(pending)
        seconds.labels(str(self._table)).set(oldest or 0)


@cache
def _gauges() -> tuple[Gauge, Gauge]:
    return (
        Gauge("outbox_pending_events", "Events that the stream has not stored yet.", ["outbox"]),
        Gauge("outbox_oldest_event_age_seconds", "How long the oldest of them has waited.", ["outbox"]),
    )


def _channel(table: Table) -> str:
    """One name for the NOTIFY channel and the advisory lock of an outbox."""
    return f"outbox:{table.schema}"


async def _pause(driver: Driver, *, until_notified: bool) -> None:
    """Let the poll interval pass, taking notifications in, or less when one of them may end it."""
    async for _ in driver.notifies(timeout=_POLL_SECONDS, stop_after=1 if until_notified else None):
        pass


def _event(row: DictRow) -> Event:
    return Event(
        id=row["event_id"],
        subject=row["subject"],
        type=row["type"],
        source=row["source"],
        about=row["about"],
        time=row["time"],
        data=row["data"],
        traceparent=row["traceparent"],
    )
