"""Whatever dies on the way of the events, and whenever, the views tell what happened."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import nats.errors
import pytest
from chatmesh.events.v1 import events_pb2 as pb
from sqlalchemy import func, insert, select, text

from analytics_svc import clickhouse
from analytics_svc.clickhouse import ClickHouse
from svckit import events, postgres
from svckit.errors import Unavailable
from svckit.events import Bus, Event
from svckit.ids import new_id
from svckit.local import Supervised, ports
from svckit.postgres import Database
from tests.analytics_svc import added_up, consumer_alone, facts, relay_alone
from tests.analytics_svc.relay_alone import OUTBOX
from tests.analytics_svc.test_counting import all_counted, publish_without_id
from tests.killable import Killable, import_ahead, running

EVENTS = 50_000
AT_ONCE = 2_500
KILLS = {"consumer": 10, "relay": 10, "broker": 10}
PLANS = ["free", "pro", "team"]
MODELS = {"openai": "gpt", "anthropic": "claude", "local": "smol"}

import_ahead(relay_alone, consumer_alone)


@asynccontextmanager
async def stand_in(folder: Path, *flags: str, log: Path) -> AsyncIterator[str]:
    """The URL of a ClickHouse server's stand-in on that folder."""
    address = f"127.0.0.1:{ports.free_port()}"
    with log.open("wb") as written:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.analytics_svc.clickhouse_http", address, str(folder), *flags),
            stdout=written,
            stderr=written,
        )
        try:
            yield f"http://{address}/default"
        finally:
            server.kill()
            await server.wait()


@asynccontextmanager
async def asked(url: str) -> AsyncIterator[ClickHouse]:
    """Connected, as soon as it answers."""
    while True:
        try:
            async with clickhouse.connected(url) as warehouse:
                yield warehouse
                return
        except Unavailable:
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
async def outbox(new_database: Callable[[], Awaitable[str]]) -> AsyncIterator[tuple[str, Database]]:
    url = await new_database()
    async with postgres.connected(url) as database:
        async with database.transaction() as session:
            await session.execute(text("CREATE SCHEMA facts"))
            await (await session.connection()).run_sync(OUTBOX.create)
        yield url, database


@pytest.mark.slow
async def test_whatever_is_killed_and_whenever_the_views_tell_the_truth(
    broker: Supervised, outbox: tuple[str, Database], tmp_path: Path
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    happened = traffic(chance, count=EVENTS)
    address, database = outbox
    engine = tmp_path / "clickhouse"
    async with (
        running(relay_alone.run, address, broker.url) as relay,
        running(consumer_alone.run, f"chdb://{engine}", broker.url) as consumer,
    ):
        kills = asyncio.gather(
            kill_often(consumer, times=KILLS["consumer"], pause=0.8, chance=chance),
            kill_often(relay, times=KILLS["relay"], pause=1.5, chance=chance),
            kill_often(broker, times=KILLS["broker"], pause=2.0, chance=chance),
        )
        await asyncio.gather(publish(database, happened), publish_copies(broker.url, chance.sample(happened, 500)))
        await kills
        await until_counted(broker.url, database)
    async with stand_in(engine, log=tmp_path / "log") as url, asked(url) as warehouse:
        assert await added_up.by_views(warehouse) == added_up.in_python(happened)


async def kill_often(program: Killable | Supervised, *, times: int, pause: float, chance: random.Random) -> None:
    for _ in range(times):
        await asyncio.sleep(chance.uniform(0, pause))
        await program.kill()
        await program.start()


async def publish(database: Database, happened: list[Event]) -> None:
    """As a service would, in the order of what happened to it; which is not the order of times."""
    for start in range(0, len(happened), AT_ONCE):
        rows = [asdict(event) for event in happened[start : start + AT_ONCE]]
        for row in rows:
            row["event_id"] = row.pop("id")
        async with database.transaction() as session:
            await session.execute(insert(OUTBOX), rows)


async def publish_copies(url: str, copies: list[Event]) -> None:
    """Beside the relay, without the id that the stream knows copies by: some come before the event itself."""
    async with events.connected(url) as bus:
        for event in copies:
            while not await copied(bus, event):
                await asyncio.sleep(0.05)


async def copied(bus: Bus, event: Event) -> bool:
    try:
        await publish_without_id(await bus.jetstream(), event)
    except nats.errors.Error:
        return False
    return True


async def until_counted(url: str, database: Database) -> None:
    """Wait until nothing is in the outbox and all that is in the stream is counted."""
    async with events.connected(url) as bus:
        while await waiting(database) or not await all_counted(await bus.jetstream()):
            await asyncio.sleep(0.1)


async def waiting(database: Database) -> int:
    async with database.transaction() as session:
        return (await session.execute(select(func.count()).select_from(OUTBOX))).scalar_one()


def _message(chance: random.Random, moment: datetime, user: str) -> Event:
    provider = chance.choice(list(MODELS))
    return facts.fact(
        pb.MessageSent(
            user_id=user,
            conversation_id=f"{user}-{chance.randrange(5)}",
            message_id=new_id(),
            plan=chance.choice(PLANS),
            provider=provider,
            model=MODELS[provider],
        ),
        moment,
    )


def _answer(chance: random.Random, moment: datetime, user: str) -> Event:
    provider = chance.choice(list(MODELS))
    answered = pb.CompletionSucceeded(
        user_id=user,
        conversation_id=f"{user}-{chance.randrange(5)}",
        generation_id=new_id(),
        plan=chance.choice(PLANS),
        provider=provider,
        model=MODELS[provider],
        latency_ms=chance.randrange(200, 9000),
        ttft_ms=chance.randrange(50, 200),
        usage=pb.Usage(
            tokens_in=chance.randrange(2000), tokens_out=chance.randrange(500), cost_micros=chance.randrange(900)
        ),
    )
    return facts.fact(answered, moment)


def _failure(chance: random.Random, moment: datetime, user: str) -> Event:
    return facts.failure(moment, user, plan=chance.choice(PLANS))


def _conversation(chance: random.Random, moment: datetime, user: str) -> Event:
    return facts.conversation(moment, user, plan=chance.choice(PLANS))


def _payment(chance: random.Random, moment: datetime, _user: str) -> Event:
    return facts.payment(moment, chance.randrange(100, 9000), currency=chance.choice(["USD", "EUR"]))


def _change(chance: random.Random, moment: datetime, user: str) -> Event:
    return facts.mrr_change(moment, user, 0, chance.randrange(5000))


def _registered(_chance: random.Random, moment: datetime, user: str) -> Event:
    return facts.registered(moment, user)


_AT_RANDOM = [_message] * 6 + [_answer] * 5 + [_failure, _conversation, _payment, _change, _registered]


def traffic(chance: random.Random, *, count: int) -> list[Event]:
    """Events of a month, in no order: what people do, what they pay, what becomes of their subscriptions."""
    start = facts.at("2022-05-01T00:00")
    made = [_AT_RANDOM[chance.randrange(len(_AT_RANDOM))] for _ in range(count)]
    moments = [start + timedelta(milliseconds=chance.randrange(30 * 86_400_000)) for _ in range(count)]
    return [make(chance, moment, f"user-{chance.randrange(2000)}") for make, moment in zip(made, moments, strict=True)]
