"""The outbox and its relay, with PostgreSQL, NATS and the relay itself ended at the worst moments."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from svckit import events, outbox
from svckit.events import Bus
from svckit.local import Supervised
from svckit.outbox import Relay
from svckit.process import background
from tests.waiting import PATIENCE, until

if TYPE_CHECKING:
    from tests.svckit.events.conftest import Shop

Published = Callable[[], Awaitable[list[str]]]

RELAYS = """
import asyncio, os, sys
from sqlalchemy import MetaData
from svckit import events, outbox, postgres

async def main():
    name = str(os.getpid())
    async with postgres.connected(sys.argv[1], name=name) as database, events.connected(sys.argv[2]) as bus:
        await outbox.Relay(database=database, table=outbox.outbox_table(MetaData(schema="shop")), bus=bus).run()

for _ in range(int(sys.argv[3])):
    if not os.fork():
        asyncio.run(main())
os.wait()
"""


@asynccontextmanager
async def _relay_processes(shop: "Shop", nats: Supervised, count: int) -> AsyncIterator[None]:
    """That many relays, each a process whose name in PostgreSQL is its process id."""
    arguments = (shop.url, nats.url, str(count))
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", RELAYS, *arguments, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        await parent.wait()


async def _at_work(shop: "Shop") -> int | None:
    """The process id of the relay that holds the lock."""
    query = (
        "SELECT application_name::int FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND datname = current_database()"
    )
    async with shop.database.transaction() as session:
        return (await session.scalars(text(query))).one_or_none()


def _relay(shop: "Shop", bus: Bus) -> Relay:
    return Relay(database=shop.database, table=shop.outbox, bus=bus)


def _is_empty(shop: "Shop") -> Callable[[], Awaitable[bool]]:
    async def empty() -> bool:
        return not await shop.pending()

    return empty


async def test_a_committed_event_is_published_and_forgotten(shop: "Shop", bus: Bus, published: Published) -> None:
    event = await shop.order()

    async with background(_relay(shop, bus).run):
        await until(_is_empty(shop))

    assert await published() == [event.id]


async def test_an_event_arrives_as_it_was_added(shop: "Shop", bus: Bus) -> None:
    event = await shop.order(about="grace")

    async with background(_relay(shop, bus).run):
        await until(_is_empty(shop))

    jetstream = await bus.jetstream()
    [message] = await (await jetstream.pull_subscribe("ev.>", stream=events.STREAM)).fetch(1)
    assert events.received(message) == event


async def test_an_event_of_a_transaction_that_was_rolled_back_is_never_published(
    shop: "Shop", bus: Bus, published: Published
) -> None:
    with pytest.raises(KeyError):
        await shop.order(then=KeyError())
    event = await shop.order()

    async with background(_relay(shop, bus).run):
        await until(_is_empty(shop))

    assert await published() == [event.id]


async def test_an_event_whose_transaction_commits_late_is_not_skipped(
    shop: "Shop", bus: Bus, sent: events.Event, published: Published
) -> None:
    async with background(_relay(shop, bus).run):
        async with shop.database.transaction() as session:
            await outbox.add(session, shop.outbox, sent)
            overtaking = await shop.order()
            await until(_is_empty(shop))
        await until(_is_empty(shop))

    assert await published() == [overtaking.id, sent.id]


async def test_many_replicas_publish_each_event_once(shop: "Shop", bus: Bus, published: Published) -> None:
    async with background(*(_relay(shop, bus).run for _ in range(3))):
        ids = await shop.orders(100)
        await until(_is_empty(shop))

    assert sorted(await published()) == sorted(ids)


async def test_a_relay_that_dies_between_publishing_and_deleting_publishes_nothing_twice(
    shop: "Shop", nats: Supervised, bus: Bus, published: Published
) -> None:
    ids = await shop.orders(20)

    async def all_published() -> bool:
        return len(await published()) == len(ids)

    async with shop.database.transaction() as session:
        await session.execute(text("LOCK TABLE shop.outbox IN SHARE MODE"))  # one can select, and cannot delete
        async with _relay_processes(shop, nats, 1):
            await until(all_published)
    assert await shop.pending() == len(ids)

    async with background(_relay(shop, bus).run):
        await until(_is_empty(shop))

    assert sorted(await published()) == sorted(ids)


async def test_relays_that_are_killed_at_any_moment_lose_and_repeat_nothing(
    shop: "Shop", nats: Supervised, published: Published
) -> None:
    moments, killed = random.Random(20261123), set[int | None]()
    async with _relay_processes(shop, nats, 5):
        writing = asyncio.create_task(shop.orders(1000))

        async def one_works() -> bool:
            return await _at_work(shop) not in {None, *killed}

        for _ in range(4):
            await until(one_works)
            await asyncio.sleep(moments.uniform(0, 0.1))
            victim = await _at_work(shop)
            assert victim
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
        ids = await writing
        await until(_is_empty(shop))

    assert sorted(await published()) == sorted(ids)


async def test_events_wait_while_nats_is_away(shop: "Shop", nats: Supervised, bus: Bus, published: Published) -> None:
    async with background(_relay(shop, bus).run):
        first = await shop.orders(50)
        await nats.kill()
        second = await shop.orders(50)
        await nats.start()
        third = await shop.orders(50)
        await until(_is_empty(shop))

    assert sorted(await published()) == sorted(first + second + third)


async def test_events_wait_while_the_stream_is_full(shop: "Shop", bus: Bus, published: Published) -> None:
    jetstream = await bus.jetstream()
    limited = (await jetstream.stream_info(events.STREAM)).config
    limited.max_msgs = 5
    await jetstream.update_stream(limited)
    ids = await shop.orders(12)

    async def five_left() -> bool:
        return await shop.pending() == len(ids) - 5

    async with background(_relay(shop, bus).run):
        await until(five_left)
        limited.max_msgs = -1
        await jetstream.update_stream(limited)
        await until(_is_empty(shop))

    assert sorted(await published()) == sorted(ids)


async def test_a_relay_that_loses_its_connection_goes_on_with_another(
    shop: "Shop", bus: Bus, published: Published
) -> None:
    # Not before they are gone: what is asked of a connection that is about to end is refused, and rightly.
    end = f"SELECT pg_terminate_backend(pid, {round(PATIENCE * 1000)}) FROM pg_stat_activity"
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    async with background(_relay(shop, bus).run):
        first = await shop.orders(20)
        await until(_is_empty(shop))
        async with shop.database.transaction() as session:
            ended = (await session.scalars(text(f"{end} WHERE {others}"))).all()
        second = await shop.orders(20)
        await until(_is_empty(shop))

    assert any(ended)
    assert sorted(await published()) == sorted(first + second)


async def test_what_waits_is_measured(shop: "Shop", bus: Bus) -> None:
    await shop.orders(3)

    async with background(_relay(shop, bus).run):
        await until(_is_empty(shop))

    assert REGISTRY.get_sample_value("outbox_pending_events", {"outbox": "shop.outbox"}) is not None
    assert REGISTRY.get_sample_value("outbox_oldest_event_age_seconds", {"outbox": "shop.outbox"}) is not None
