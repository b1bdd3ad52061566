"""One instance at a time makes the tables."""

import asyncio

from nats.js.errors import KeyWrongLastSequenceError

from analytics_svc import lease, position
from svckit import events
from svckit.events import Bus
from svckit.local import Engines
from tests.waiting import PATIENCE


async def test_who_wants_the_lease_waits_until_it_is_given_back(bus: Bus, own_engines: Engines) -> None:
    happened: list[str] = []
    waits = asyncio.Event()

    async def second() -> None:
        async with events.connected(own_engines.nats_url, name="second") as other:
            jetstream = await other.jetstream()
            waits.set()
            async with lease.held(jetstream):
                happened.append("second")

    async with lease.held(await bus.jetstream()):
        waiting = asyncio.create_task(second())
        await waits.wait()
        # As long as it takes to ask a few times.
        for _ in range(20):
            await bus.ping()
        happened.append("first")
    await waiting

    assert happened == ["first", "second"]


async def test_the_lease_of_somebody_who_is_gone_is_taken_over(bus: Bus) -> None:
    jetstream = await bus.jetstream()
    await (await position.made_bucket(jetstream)).put("migration", b"")

    async with asyncio.timeout(PATIENCE), lease.held(jetstream, quiet=0.3):
        pass

    async with asyncio.timeout(PATIENCE), lease.held(jetstream):
        pass


async def test_who_has_lost_the_lease_stops(bus: Bus) -> None:
    jetstream = await bus.jetstream()
    store = await position.made_bucket(jetstream)
    stopped = False
    try:
        async with asyncio.timeout(PATIENCE), lease.held(jetstream):
            await store.put("migration", b"somebody else")
            await asyncio.Event().wait()
    except* KeyWrongLastSequenceError:
        stopped = True
    await store.delete("migration")

    assert stopped
