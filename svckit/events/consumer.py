"""Applies events to a service's own database, each with the effect of exactly once."""

import asyncio
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from prometheus_client import Counter, Gauge
from sqlalchemy import Table, delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from svckit.errors import Unavailable
from svckit.events.bus import STREAM, Bus, raise_if_cancelled
from svckit.events.envelope import BadEvent, Event, received
from svckit.events.spans import processing
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_BATCH = 50
_FETCH_SECONDS = 2
_STALE_SECONDS = 30
_RECONNECT_SECONDS = 0.5
_MAX_FAILURES = 5
_MAX_DELAY = timedelta(seconds=30)
_FORGET_SECONDS = 3600
# A day longer than the stream keeps events: none can be delivered again once it is forgotten.
_REMEMBERED = timedelta(days=31)


async def consume(
    bus: Bus,
    *,
    durable: str,
    subjects: Sequence[str],
    database: Database,
    processed: Table,
    apply: Callable[[AsyncSession, Event], Awaitable[None]],
    ack_wait: timedelta = timedelta(seconds=30),
    retry_delay: timedelta = timedelta(seconds=1),
) -> None:
    """Apply every event of the subjects, for ever; replicas of the same `durable` name share the work.

    What `apply` writes commits together with the note that the event was applied; the message is acknowledged after
    that. Events are not in order: they may be delivered again, late. When `apply` raises Unavailable or an OSError the
    event is tried again until it succeeds; after BadEvent at once, after any other error five times, it is put away
    under `dlq.<durable>`. `ack_wait` is how long a dead replica's events wait for another, `retry_delay` the first
    delay, which doubles up to 30 s.
    """
    config = ConsumerConfig(
        durable_name=durable,
        filter_subjects=list(subjects),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait.total_seconds(),
        # The server would drop an event silently after its own count of deliveries; ours ends as a dead letter.
        max_deliver=-1,
    )
    consumer = _Consumer(bus, durable, database, processed, apply, retry_delay)
    while True:
        try:
            await consumer.follow(config)
        except nats.errors.Error as error:
            raise_if_cancelled()
            log.warning("consumer interrupted", consumer=durable, error=str(error))
            await asyncio.sleep(_RECONNECT_SECONDS)


class _Consumer:
    def __init__(
        self,
        bus: Bus,
        durable: str,
        database: Database,
        processed: Table,
        apply: Callable[[AsyncSession, Event], Awaitable[None]],
        retry_delay: timedelta,
    ) -> None:
        self._bus = bus
        self._durable = durable
        self._database = database
        self._processed = processed
        self._apply = apply
        self._retry_delay = retry_delay
        self._failures: Tally[int] = Tally()  # by the message's place in the stream
        self._forgot = -float(_FORGET_SECONDS)

    async def follow(self, config: ConsumerConfig) -> None:
        """Handle messages as they come. Returns when the subscription went stale, raises when the connection ends."""
        jetstream = await self._bus.jetstream()
        await jetstream.add_consumer(STREAM, config)
        subscription = await jetstream.pull_subscribe_bind(self._durable, STREAM)
        try:
            delivered = time.monotonic()
            while True:
                messages = await _fetch(subscription)
                _pending().labels(self._durable).set(_still_pending(messages))
                if messages:
                    await self._handle_all(deque(messages))
                    delivered = time.monotonic()
                elif time.monotonic() > delivered + _STALE_SECONDS:
                    # Seen in the field: events wait and none is delivered until one subscribes anew (nats-server#5839).
                    if waiting := (await subscription.consumer_info()).num_pending:
                        log.warning("consumer is stale", consumer=self._durable, waiting=waiting)
                        return
                    delivered = time.monotonic()
                await self._forget_old()
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _handle_all(self, messages: deque[Msg]) -> None:
        """Handle what was fetched; when that ends early, give the rest back for another replica."""
        try:
            while messages:
                await self._handle(messages[0])
                messages.popleft()
        finally:
            for message in messages:
                with suppress(nats.errors.Error):
                    await message.nak()

    async def _handle(self, message: Msg) -> None:
        """Apply the event and acknowledge it, or see to it that it comes again, or make it a dead letter."""
        try:
            outcome = await self._apply_once(received(message))
        except BadEvent as error:
            outcome = await self._put_away(message, str(error))
        except (Unavailable, OSError) as error:
            outcome = await self._postpone(message, error)
        except Exception as error:  # whatever one event does to `apply`, the next ones must be applied
            log.exception("event failed", consumer=self._durable, subject=message.subject)
            outcome = await self._count_failure(message, error)
        else:
            await message.ack()
        _events().labels(self._durable, outcome).inc()

    async def _apply_once(self, event: Event) -> str:
        note = insert(self._processed).values(consumer=self._durable, event_id=event.id).on_conflict_do_nothing()
        with processing(event, consumer=self._durable):
            async with self._database.transaction() as session:
                # A second delivery waits here until the first one's transaction has ended.
                if (await session.execute(note.returning(self._processed.c.event_id))).first() is None:
                    return "duplicate"
                await self._apply(session, event)
        return "applied"

    async def _count_failure(self, message: Msg, error: Exception) -> str:
        place = message.metadata.sequence.stream
        self._failures[place] += 1
        if self._failures[place] < _MAX_FAILURES:
            return await self._postpone(message, error)
        outcome = await self._put_away(message, f"{type(error).__name__}: {error}")
        del self._failures[place]
        return outcome

    async def _postpone(self, message: Msg, error: Exception) -> str:
        doubled = self._retry_delay * 2 ** min(message.metadata.num_delivered - 1, 10)
        delay = min(doubled, _MAX_DELAY).total_seconds()
        log.warning("event postponed", consumer=self._durable, subject=message.subject, error=str(error))
        await message.nak(delay)
        return "postponed"

    async def _put_away(self, message: Msg, reason: str) -> str:
        log.error("event is a dead letter", consumer=self._durable, subject=message.subject, reason=reason)
        await self._bus.dead_letter(message, durable=self._durable, reason=reason)
        await message.ack()
        return "dead_letter"

    async def _forget_old(self) -> None:
        if time.monotonic() < self._forgot + _FORGET_SECONDS:
            return
        self._forgot = time.monotonic()
        columns = self._processed.c
        old = delete(self._processed).where(
            columns.consumer == self._durable, columns.processed_at < func.now() - _REMEMBERED
        )
        with suppress(Unavailable):
            async with self._database.transaction() as session:
                await session.execute(old)


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    """The next messages, none when none came. The client says that in three ways: its time-out, asyncio's, and []."""
    try:
        return await subscription.fetch(_BATCH, timeout=_FETCH_SECONDS)
    except TimeoutError:
        return []


@cache
def _events() -> Counter:
    return Counter("events_consumed", "Deliveries of events, by what became of each.", ["consumer", "outcome"])


def _still_pending(messages: Sequence[Msg]) -> int:
    """How many events the consumer has not applied: what was fetched, and what waits behind it."""
    return len(messages) + messages[-1].metadata.num_pending if messages else 0


@cache
def _pending() -> Gauge:
    return Gauge("events_consumer_pending", "Events that a consumer has not applied yet.", ["consumer"])
