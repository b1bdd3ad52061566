"""Consumers on a real stream: whatever fails, each event takes effect once or is put away where people look."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from svckit import events, telemetry
from svckit.errors import Unavailable
from svckit.events import BadEvent, Bus, Event
from svckit.local import Supervised
from svckit.process import background
from tests.waiting import until

if TYPE_CHECKING:
    from tests.svckit.events.conftest import Shop

Apply = Callable[[AsyncSession, Event], Awaitable[None]]
Send = Callable[[str], Awaitable[Event]]

DURABLE = "mailer"
SOON = timedelta(milliseconds=20)

CONSUMERS = """
import asyncio, os, sys
from datetime import timedelta
from sqlalchemy import Column, MetaData, Table, Text, insert
from svckit import events, outbox, postgres

async def main():
    metadata = MetaData(schema="shop")
    applied = Table("applied", metadata, Column("event_id", Text))

    async def apply(session, event):
        await session.execute(insert(applied).values(event_id=event.id))

    async with postgres.connected(sys.argv[1]) as database, events.connected(sys.argv[2]) as bus:
        await events.consume(bus, durable="mailer", subjects=["ev.>"], database=database, apply=apply,
                             processed=outbox.processed_table(metadata), ack_wait=timedelta(seconds=1))

for _ in range(int(sys.argv[3])):
    if (child := os.fork()) == 0:
        os.dup2(2, 1)  # what it logs must not come between the ids
        asyncio.run(main())
    print(child, flush=True)
os.wait()
"""


@asynccontextmanager
async def _consumer_processes(shop: "Shop", nats: Supervised, count: int) -> AsyncIterator[list[int]]:
    """That many replicas of one consumer; their process ids."""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CONSUMERS, shop.url, nats.url, str(count)),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    try:
        yield [int(await parent.stdout.readline()) for _ in range(count)]
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        await parent.wait()


@pytest.fixture
async def send(bus: Bus, sent: Event) -> Send:
    """Publish an event with that id."""
    await bus.jetstream()

    async def publish(event_id: str) -> Event:
        event = Event(event_id, sent.subject, sent.type, sent.source, sent.about, sent.time, sent.data)
        await bus.publish(event)
        return event

    return publish


async def _letters(bus: Bus) -> dict[str, str]:
    """The dead letters: ids of events, and why each is there."""
    jetstream = await bus.jetstream()
    subscription = await jetstream.pull_subscribe(f"dlq.{DURABLE}", stream=events.DEAD_LETTERS)
    count = (await jetstream.stream_info(events.DEAD_LETTERS)).state.messages
    found = [message.headers or {} for message in (await subscription.fetch(count) if count else [])]
    await subscription.unsubscribe()
    return {headers.get("ce-id", ""): headers["dlq-reason"] for headers in found}


def _consuming(
    shop: "Shop",
    bus: Bus,
    apply: Apply | None = None,
    *,
    durable: str = DURABLE,
    subjects: Sequence[str] = ("ev.>",),
    ack_wait: timedelta = timedelta(seconds=30),
) -> Callable[[], Awaitable[None]]:
    return partial(
        events.consume,
        bus,
        durable=durable,
        subjects=subjects,
        database=shop.database,
        processed=shop.processed,
        apply=apply or shop.apply,
        ack_wait=ack_wait,
        retry_delay=SOON,
    )


def _applied(shop: "Shop", *ids: str) -> Callable[[], Awaitable[bool]]:
    async def all_applied() -> bool:
        return set(ids) <= set(await shop.effects())

    return all_applied


async def _acknowledged(bus: Bus) -> bool:
    """Whether nothing is left to deliver, or to acknowledge."""
    consumer = await (await bus.jetstream()).consumer_info(events.STREAM, DURABLE)
    return not consumer.num_pending and not consumer.num_ack_pending


async def test_an_event_is_applied_and_acknowledged(shop: "Shop", bus: Bus, send: Send) -> None:
    await send("e1")

    async with background(_consuming(shop, bus)):
        await until(_applied(shop, "e1"))
        await until(lambda: _acknowledged(bus))

    assert await shop.effects() == ["e1"]


async def test_only_the_wanted_subjects_are_applied(shop: "Shop", bus: Bus, sent: Event) -> None:
    await bus.jetstream()
    for number, subject in enumerate(["ev.auth.user.deleted", "ev.chat.message.sent", "ev.auth.user.verified"]):
        await bus.publish(Event(str(number), subject, sent.type, sent.source, sent.about, sent.time, sent.data))

    async with background(_consuming(shop, bus, subjects=["ev.auth.user.*"])):
        await until(_applied(shop, "0", "2"))

    assert await shop.effects() == ["0", "2"]


async def test_an_event_that_is_delivered_again_has_no_second_effect(shop: "Shop", bus: Bus, send: Send) -> None:
    await send("e1")
    async with background(_consuming(shop, bus)):
        await until(_applied(shop, "e1"))
        await until(lambda: _acknowledged(bus))
    await (await bus.jetstream()).delete_consumer(events.STREAM, DURABLE)  # it will begin anew

    async with background(_consuming(shop, bus)):
        await send("e2")
        await until(_applied(shop, "e2"))

    assert await shop.effects() == ["e1", "e2"]


async def test_two_consumers_each_apply_every_event(shop: "Shop", bus: Bus, send: Send) -> None:
    await send("e1")

    async def twice() -> bool:
        return await shop.effects() == ["e1", "e1"]

    async with background(_consuming(shop, bus), _consuming(shop, bus, durable="counter")):
        await until(twice)


async def test_what_a_failed_attempt_wrote_is_undone(shop: "Shop", bus: Bus, send: Send) -> None:
    attempts = Counter[str]()

    async def fails_twice(session: AsyncSession, event: Event) -> None:
        await shop.apply(session, event)
        attempts[event.id] += 1
        if attempts[event.id] < 3:
            raise ZeroDivisionError

    await send("e1")
    async with background(_consuming(shop, bus, fails_twice)):
        await until(_applied(shop, "e1"))

    assert await shop.effects() == ["e1"]
    assert attempts == {"e1": 3}


async def test_an_event_that_fails_five_times_is_put_away_and_holds_nothing_up(
    shop: "Shop", bus: Bus, send: Send
) -> None:
    attempts = Counter[str]()

    async def refuses_e1(session: AsyncSession, event: Event) -> None:
        attempts[event.id] += 1
        if event.id == "e1":
            raise ValueError("not this one")
        await shop.apply(session, event)

    for number in range(3):
        await send(f"e{number}")
    async with background(_consuming(shop, bus, refuses_e1)):
        await until(_applied(shop, "e0", "e2"))
        await until(lambda: _acknowledged(bus))

    assert attempts == {"e0": 1, "e1": 5, "e2": 1}
    assert await _letters(bus) == {"e1": "ValueError: not this one"}


async def test_an_event_that_can_never_be_applied_is_put_away_at_once(shop: "Shop", bus: Bus, send: Send) -> None:
    attempts = Counter[str]()

    async def refuses(session: AsyncSession, event: Event) -> None:
        attempts[event.id] += 1
        raise BadEvent("no such plan: gold")

    async def put_away() -> bool:
        return bool(await _letters(bus))

    await send("e1")
    async with background(_consuming(shop, bus, refuses)):
        await until(put_away)

    assert attempts == {"e1": 1}
    assert await _letters(bus) == {"e1": "no such plan: gold"}


async def test_a_message_that_is_no_event_is_put_away(shop: "Shop", bus: Bus, send: Send) -> None:
    await (await bus.jetstream()).publish("ev.from.a.stranger", b"hello")
    await send("e1")

    async with background(_consuming(shop, bus)):
        await until(_applied(shop, "e1"))

    assert await _letters(bus) == {"": "no header 'ce-id'"}


async def test_an_event_waits_for_what_is_unavailable_however_long_it_takes(shop: "Shop", bus: Bus, send: Send) -> None:
    attempts = Counter[str]()

    async def unavailable_for_long(session: AsyncSession, event: Event) -> None:
        attempts[event.id] += 1
        if attempts[event.id] < 7:
            raise Unavailable("try again")
        await shop.apply(session, event)

    await send("e1")
    async with background(_consuming(shop, bus, unavailable_for_long)):
        await until(_applied(shop, "e1"))

    assert await _letters(bus) == {}


async def test_a_database_connection_that_breaks_is_no_fault_of_the_event(shop: "Shop", bus: Bus, send: Send) -> None:
    attempts = Counter[str]()

    async def breaks_its_connection(session: AsyncSession, event: Event) -> None:
        attempts[event.id] += 1
        await shop.apply(session, event)
        if attempts[event.id] < 7:
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await send("e1")
    async with background(_consuming(shop, bus, breaks_its_connection)):
        await until(_applied(shop, "e1"))

    assert await shop.effects() == ["e1"]
    assert await _letters(bus) == {}


async def test_an_event_is_applied_in_the_trace_that_it_came_from(shop: "Shop", bus: Bus, sent: Event) -> None:
    traces: list[str] = []

    async def remember(session: AsyncSession, event: Event) -> None:
        here = telemetry.current()
        assert here is not None
        traces.append(here.trace_id)
        await shop.apply(session, event)

    await bus.jetstream()
    await bus.publish(sent)
    async with background(_consuming(shop, bus, remember)):
        await until(_applied(shop, sent.id))

    came_from = telemetry.parse(sent.traceparent)
    assert came_from is not None
    assert traces == [came_from.trace_id]


async def test_a_consumer_that_stops_hands_back_what_it_had_fetched(shop: "Shop", bus: Bus, send: Send) -> None:
    started = asyncio.Event()

    async def never_ends(session: AsyncSession, event: Event) -> None:
        await shop.apply(session, event)
        started.set()
        await asyncio.Event().wait()

    for number in range(3):
        await send(f"e{number}")
    async with background(_consuming(shop, bus, never_ends)):
        await started.wait()
    assert await shop.effects() == []

    async with background(_consuming(shop, bus)):  # its events do not wait for the 30 s of an unacknowledged delivery
        await until(_applied(shop, "e0", "e1", "e2"))

    assert await shop.effects() == ["e0", "e1", "e2"]


async def test_consuming_goes_on_after_nats_was_killed(shop: "Shop", nats: Supervised, bus: Bus, send: Send) -> None:
    ids = [f"e{number}" for number in range(100)]
    await asyncio.gather(*(send(event_id) for event_id in ids))

    async with background(_consuming(shop, bus, ack_wait=timedelta(seconds=1))):
        await until(_applied(shop, "e10"))
        await nats.kill()
        await nats.start()
        await until(_applied(shop, *ids))

    assert await shop.effects() == sorted(ids)


async def test_consumers_that_are_killed_at_any_moment_apply_each_event_once(
    shop: "Shop", nats: Supervised, send: Send
) -> None:
    ids, moments = [f"e{number:03}" for number in range(300)], random.Random(20261123)
    await asyncio.gather(*(send(event_id) for event_id in ids))

    async with _consumer_processes(shop, nats, 4) as pids:
        for share, pid in enumerate(pids[:-1], start=1):
            await until(partial(_reached, shop, share * 50))
            await asyncio.sleep(moments.uniform(0, 0.05))
            os.kill(pid, signal.SIGKILL)
        await until(_applied(shop, *ids))

    assert await shop.effects() == ids


async def _reached(shop: "Shop", count: int) -> bool:
    return len(await shop.effects()) >= count


async def test_notes_of_events_that_the_stream_has_forgotten_are_forgotten_too(
    shop: "Shop", bus: Bus, send: Send
) -> None:
    notes = [("old", 32), ("recent", 30)]
    async with shop.database.transaction() as session:
        for event_id, days in notes:
            noted = text(f"now() - interval '{days} days'")
            await session.execute(
                insert(shop.processed).values(consumer=DURABLE, event_id=event_id, processed_at=noted)
            )

    async def kept() -> list[str]:
        async with shop.database.transaction() as session:
            return sorted(await session.scalars(text("SELECT event_id FROM shop.processed_events")))

    async def one_forgotten() -> bool:
        return await kept() == ["e1", "recent"]

    await send("e1")
    async with background(_consuming(shop, bus)):
        await until(one_forgotten)
