"""The service with a ClickHouse server, over HTTP; and, with its tables in reach, what is done beside counting."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub
from chatmesh.events.v1 import events_pb2 as pb
from nats.js.kv import KeyValue

from analytics_svc import commands, migrate, position, schema, upkeep
from analytics_svc.clickhouse import ClickHouse
from analytics_svc.settings import AnalyticsSettings
from analytics_svc.upkeep import Task
from svckit import clients, events
from svckit.errors import ResourceExhausted
from svckit.events import Bus, Event
from svckit.local import Engines, Home, Supervised
from svckit.local.nats import start_nats
from tests.analytics_svc import added_up, facts
from tests.analytics_svc.analyst import Analytics, days, eventually, publish_all
from tests.analytics_svc.conftest import SERVICE
from tests.analytics_svc.running import LOOPBACK, environment_of, service_of
from tests.analytics_svc.test_counting import all_counted
from tests.analytics_svc.test_crashes import asked, stand_in, traffic

_COPY = """
CREATE TABLE IF NOT EXISTS users_copy AS users_15m;

CREATE MATERIALIZED VIEW IF NOT EXISTS users_copy_view TO users_copy AS
SELECT type, toStartOfFifteenMinutes(ts) AS b, count() AS n
FROM events
WHERE type IN ('auth.user.registered', 'auth.user.verified', 'auth.user.deleted')
GROUP BY type, b;
"""


class Remote:
    """A service over HTTP, the tables behind it, and all that was published to it."""

    def __init__(
        self, *, service: Supervised, admin: str, warehouse: ClickHouse, bus: Bus, settings: AnalyticsSettings
    ) -> None:
        self.service = service
        self.admin = admin
        self.warehouse = warehouse
        self.bus = bus
        self.settings = settings
        self.happened: list[Event] = []

    async def publish(self, *happened: Event) -> None:
        self.happened += happened
        await publish_all(self.bus, happened)

    async def counted(self) -> None:
        jetstream = await self.bus.jetstream()
        await eventually(lambda: all_counted(jetstream), True)


@pytest.fixture(scope="module")
async def remote(
    tmp_path_factory: pytest.TempPathFactory, engines: Engines, auth_address: str
) -> AsyncIterator[Remote]:
    folder = Path(tmp_path_factory.mktemp("remote"))
    async with Home.opened(folder) as home, stand_in(folder / "clickhouse", log=folder / "log") as url:
        nats = await start_nats(home, durable=False)
        environment = environment_of(home, replace(engines, nats_url=nats.url), auth_address)
        service = service_of(home, environment | {"CLICKHOUSE_URL": url})
        elsewhere = {name: f"{LOOPBACK}:{home.port(name)}" for name in ("LISTEN", "ADMIN_LISTEN")}
        twin = service_of(home, environment | elsewhere | {"CLICKHOUSE_URL": url}, name="twin")
        async with asked(url) as warehouse, events.connected(nats.url) as bus:
            # Both find no tables, and both are ready in the end.
            await asyncio.gather(service.start(), twin.start())
            await twin.stop()
            settings = AnalyticsSettings(nats_url=nats.url, clickhouse_url=url)
            admin = environment["ADMIN_LISTEN"]
            yield Remote(service=service, admin=admin, warehouse=warehouse, bus=bus, settings=settings)
            await service.stop()
        await nats.stop()


async def test_events_are_counted_and_reports_answered(remote: Remote) -> None:
    await remote.publish(*traffic(random.Random(11), count=3000))
    await remote.counted()

    assert await added_up.by_views(remote.warehouse) == added_up.in_python(remote.happened)
    async with clients.channel(remote.service.url, services=[SERVICE]) as channel:
        report = await Analytics(AnalyticsServiceStub(channel)).chat(
            **days(date(2022, 5, 1), date(2022, 5, 31)), interval="month"
        )
    assert report.data[0].messages == sum(event.subject == "ev.chat.message.sent" for event in remote.happened)


async def test_a_query_that_takes_too_much_memory_is_refused(remote: Remote) -> None:
    with pytest.raises(ResourceExhausted, match="ask for a shorter range"):
        await remote.warehouse.query("SELECT length(groupArray(toString(number))) FROM numbers(1000000000)")


async def test_a_rebuild_repairs_what_an_audit_finds_though_it_is_killed_and_while_events_flow(
    remote: Remote, capsys: pytest.CaptureFixture[str]
) -> None:
    await remote.publish(*traffic(random.Random(12), count=1000))
    await remote.counted()
    # Nothing of ours does this; somebody with a console may.
    await remote.warehouse.command("INSERT INTO users_15m VALUES ('auth.user.registered', '2022-05-07 10:00:00', 3)")

    assert await commands.ask("audit", remote.settings) == 0
    # One row too many, and three people too many.
    assert "users_15m differs by 4 from the raw events" in capsys.readouterr().out
    rebuilding = asyncio.create_task(commands.ask("rebuild", remote.settings))
    await eventually(lambda: shadows(remote.warehouse), True, pause=0.005)
    await remote.service.kill()
    await remote.publish(*traffic(random.Random(13), count=500))
    await remote.service.start()
    for seed in range(14, 33):
        await remote.publish(*traffic(random.Random(seed), count=100))
    assert await rebuilding == 0
    await remote.counted()

    assert not await shadows(remote.warehouse)
    assert await added_up.by_views(remote.warehouse) == added_up.in_python(remote.happened)
    assert await commands.ask("audit", remote.settings) == 0
    assert "10 views agree with the raw events" in capsys.readouterr().out


async def test_somebody_deleted_is_forgotten_and_still_counted(remote: Remote) -> None:
    gone = "0192f0c1-gone"
    await remote.publish(
        facts.registered("2022-05-02T09:00", gone),
        facts.message("2022-05-02T10:00", gone),
        facts.mrr_change("2022-05-03T10:00", gone, 0, 2000),
        facts.fact(pb.UserDeleted(user_id=gone), "2022-05-04T10:00"),
    )
    await remote.counted()
    before = await added_up.by_views(remote.warehouse)

    assert await commands.ask("forget", remote.settings) == 0

    assert await whereabouts(remote.warehouse, gone) == []
    after = await added_up.by_views(remote.warehouse)
    assert named(after) == named(before)
    assert sorted(after.values()) == sorted(before.values())
    late = facts.mrr_change("2022-05-04T11:00", gone, 2000, 0)
    await remote.publish(late)
    await remote.counted()
    assert await whereabouts(remote.warehouse, gone) == []


async def shadows(warehouse: ClickHouse) -> bool:
    """Whether there are tables of a rebuild."""
    return bool(await warehouse.query("SELECT name FROM system.tables WHERE name LIKE '%__rebuild_%'"))


def named(figures: added_up.Figures) -> added_up.Figures:
    """Those that are not about one person."""
    return {key: figure for key, figure in figures.items() if key[0] not in ("mrr", "usage", "lifecycle")}


async def whereabouts(warehouse: ClickHouse, user_id: str) -> list[str]:
    """The tables that have the id."""
    columns = "SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'user_id' ORDER BY table"
    tables = [str(table) for (table,) in await warehouse.query(columns) if not str(table).endswith("_view")]
    found = {
        table: await warehouse.query(f"SELECT count() FROM {table} WHERE user_id = '{user_id}'") for table in tables
    }
    assert {"events", "user_usage_15m", "user_lifecycle", "mrr_changes"} <= set(tables)
    return [table for table, rows in found.items() if rows[0][0]]


async def test_the_work_of_the_night_is_done_when_it_is_due(remote: Remote) -> None:
    store = await position.bucket(await remote.bus.jetstream())
    # What was asked for last was all done.
    await eventually(lambda: at_rest(store), True)
    task, revision = await upkeep.read(store)
    before = await audited(remote)
    began = datetime.now(UTC)

    await upkeep.change(store, Task("audit", upkeep.DONE, day=(began - timedelta(days=2)).isoformat()), revision)

    await eventually(lambda: later(remote, before), True)
    await eventually(lambda: at_rest(store), True)
    task, _ = await upkeep.read(store)
    assert (task.name, task.state) == ("audit", upkeep.DONE)
    assert task.last_night >= began


async def at_rest(store: KeyValue) -> bool:
    task, _ = await upkeep.read(store)
    return not task.open and bool(task.day)


async def audited(remote: Remote) -> float:
    """When the last audit ended, as the service's metric says it."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{remote.admin}/metrics") as answer:
        found = re.search(r"^analytics_last_audit_timestamp_seconds (\S+)$", await answer.text(), re.MULTILINE)
    assert found
    return float(found[1])


async def later(remote: Remote, than: float) -> bool:
    return await audited(remote) > than


async def test_a_view_that_is_made_while_events_are_counted_has_them_all(remote: Remote) -> None:
    await remote.publish(*traffic(random.Random(60), count=200))
    counting = asyncio.create_task(remote.publish(*traffic(random.Random(61), count=600)))
    # As a newer version would, while this one counts.
    for statement in schema.statements(_COPY, version=99):
        await remote.warehouse.command(statement)
    await counting
    await remote.counted()
    assert await is_unfilled(remote.warehouse)
    assert await added(remote.warehouse, "users_copy") < await added(remote.warehouse, "users_15m")

    await remote.service.stop()
    await remote.service.start()
    await remote.publish(*traffic(random.Random(62), count=200))
    await eventually(lambda: is_unfilled(remote.warehouse), False)
    await remote.counted()

    assert not await shadows(remote.warehouse)
    assert await added(remote.warehouse, "users_copy") == await added(remote.warehouse, "users_15m")
    for statement in ("DROP VIEW users_copy_view", "DROP TABLE users_copy"):
        await remote.warehouse.command(statement)


async def is_unfilled(warehouse: ClickHouse) -> bool:
    return bool(await schema.unfilled(warehouse))


async def added(warehouse: ClickHouse, table: str) -> int:
    [(total,)] = await warehouse.query(f"SELECT sum(n) FROM {table}")
    return int(str(total))


async def test_old_events_go_what_they_add_up_to_stays_and_the_audit_looks_at_the_rest(
    remote: Remote, capsys: pytest.CaptureFixture[str]
) -> None:
    # All other events here are of May.
    await remote.publish(facts.registered("2022-05-31T10:00", "early"), facts.registered("2022-06-07T10:00", "late"))
    await remote.counted()
    before = await added_up.by_views(remote.warehouse)
    half = facts.at("2022-05-16T00:00")
    days = (datetime.now(UTC) - half).days

    kept = {"events_retention_days": days, "usage_retention_days": days}
    await migrate.migrated(remote.warehouse, remote.settings.model_copy(update=kept))
    await eventually(lambda: older(remote.warehouse, "events", "ts"), 0)
    await eventually(lambda: older(remote.warehouse, "user_usage_15m", "b"), 0)

    assert await remote.warehouse.query("SELECT 1 FROM events WHERE ts >= '2022-05-17' LIMIT 1")
    after = await added_up.by_views(remote.warehouse)
    assert staying(after) == staying(before)
    await remote.warehouse.command("INSERT INTO users_15m VALUES ('auth.user.registered', '2022-06-07 12:00:00', 3)")
    assert await commands.ask("audit", remote.settings) == 0
    differing = [line for line in capsys.readouterr().out.splitlines() if "from the raw events" in line]
    assert differing == ["users_15m differs by 4 from the raw events"]
    async with aiohttp.ClientSession() as http, http.get(f"http://{remote.admin}/metrics") as answer:
        assert 'analytics_view_drift{view="users_15m"} 4.0' in await answer.text()
    # Of the rest, the figures of before could not be made.
    assert await commands.ask("rebuild", remote.settings) == 1
    assert "raw events are deleted after a while" in capsys.readouterr().err


async def older(warehouse: ClickHouse, table: str, time: str) -> int:
    """How many rows are of before the middle of May."""
    [(count,)] = await warehouse.query(f"SELECT count() FROM {table} WHERE {time} < '2022-05-15'")
    return int(str(count))


def staying(figures: added_up.Figures) -> added_up.Figures:
    """Those that stay when rows of the two tables are deleted."""
    return {key: figure for key, figure in figures.items() if key[0] not in ("raw", "usage")}
