"""A shop that writes events beside its orders, on a database and a NATS server of its own for each test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from chatmesh.events.v1.events_pb2 import MessageSent
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from sqlalchemy import Column, MetaData, Table, Text, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateSchema

from svckit import events, local, outbox, postgres
from svckit.events import Bus, Event
from svckit.local import Engines, Supervised
from svckit.postgres import Database

SCHEMA = "shop"


@dataclass(frozen=True, slots=True)
class Shop:
    """The tables of a service, and what a test does with them."""

    url: str
    database: Database
    outbox: Table
    processed: Table
    applied: Table  # one row for each time that an event took effect

    async def order(self, *, about: str = "ada", then: Exception | None = None) -> Event:
        """Add an event to the outbox; commit, or raise."""
        event = _sent(about)
        async with self.database.transaction() as session:
            await outbox.add(session, self.outbox, event)
            if then:
                raise then
        return event

    async def orders(self, count: int) -> list[str]:
        """Commit that many events, one transaction each, a few at a time; their ids."""
        at_once = asyncio.Semaphore(5)

        async def one() -> str:
            async with at_once:
                return (await self.order()).id

        async with asyncio.TaskGroup() as tasks:  # of which none goes on when another has failed
            orders = [tasks.create_task(one()) for _ in range(count)]
        return [order.result() for order in orders]

    async def pending(self) -> int:
        """How many events wait in the outbox."""
        async with self.database.transaction() as session:
            return await session.scalar(select(func.count()).select_from(self.outbox)) or 0

    async def apply(self, session: AsyncSession, event: Event) -> None:
        await session.execute(insert(self.applied).values(event_id=event.id))

    async def effects(self) -> list[str]:
        """Ids of the events that took effect, in order; one that took effect twice is there twice."""
        async with self.database.transaction() as session:
            return sorted(await session.scalars(select(self.applied.c.event_id)))


def _sent(about: str) -> Event:
    message = MessageSent(user_id=about, plan="free", provider="local", model="tiny")
    return events.event(message, source="shop", about=about, time=datetime.now(UTC))


@pytest.fixture
def sent() -> Event:
    return _sent("ada")


@pytest.fixture
async def shop(new_database: Callable[[], Awaitable[str]]) -> AsyncIterator[Shop]:
    url, metadata = await new_database(), MetaData(schema=SCHEMA)
    applied = Table("applied", metadata, Column("event_id", Text))
    async with postgres.connected(url) as database:
        shop = Shop(url, database, outbox.outbox_table(metadata), outbox.processed_table(metadata), applied)
        async with database.engine.begin() as connection:
            await connection.execute(CreateSchema(SCHEMA))
            await connection.run_sync(metadata.create_all)
        yield shop


@pytest.fixture
async def nats(engines: Engines, tmp_path: Path) -> AsyncIterator[Supervised]:
    """A NATS server that a test may kill."""
    others = {"DATABASE_URL": engines.database_url, "REDIS_URL": engines.redis_url}
    async with local.Home.opened(tmp_path) as home, local.engines(home, durable=False, given=others) as started:
        assert started.nats is not None
        yield started.nats


@pytest.fixture
def published(bus: Bus) -> Callable[[], Awaitable[list[str]]]:
    """Ids of all events in the stream, in its order; one that is stored twice is there twice."""

    async def ids() -> list[str]:
        jetstream = await bus.jetstream()
        wanted = (await jetstream.stream_info(events.STREAM)).state.messages
        unacknowledged = ConsumerConfig(ack_policy=AckPolicy.NONE)
        subscription = await jetstream.pull_subscribe("ev.>", stream=events.STREAM, config=unacknowledged)
        messages: list[Msg] = []
        while len(messages) < wanted:
            messages += await subscription.fetch(wanted - len(messages))
        return [events.received(message).id for message in messages]

    return ids


@pytest.fixture
async def bus(nats: Supervised) -> AsyncIterator[Bus]:
    async with events.connected(nats.url) as bus:
        yield bus
