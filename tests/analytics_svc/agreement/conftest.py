"""A service of its own that has counted the year, and nothing else."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from chatmesh.analytics.v1 import analytics_pb2
from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub

from analytics_svc import position, upkeep
from svckit import clients, events, local
from svckit.local import Engines, Home
from tests.analytics_svc.agreement.year import Fact, facts_of_the_year, second_half
from tests.analytics_svc.analyst import Analytics, eventually, publish_all
from tests.analytics_svc.running import environment_of, service_of

SERVICE = analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"]


@pytest.fixture(scope="session")
def facts() -> list[Fact]:
    return facts_of_the_year()


@pytest.fixture(scope="session")
async def year_home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    async with Home.opened(Path(tmp_path_factory.mktemp("year"))) as home:
        yield home


@pytest.fixture(scope="session")
async def year_environment(year_home: Home, engines: Engines, auth_address: str) -> AsyncIterator[dict[str, str]]:
    given = {"DATABASE_URL": engines.database_url, "REDIS_URL": engines.redis_url}
    async with local.engines(year_home, durable=False, given=given) as own:
        yield environment_of(year_home, own, auth_address)


@pytest.fixture(scope="session")
async def year(year_home: Home, year_environment: dict[str, str]) -> AsyncIterator[Analytics]:
    """Half of the year was counted by the version before, so that the views are filled; the rest comes as events.

    Who was deleted is forgotten: no figure may change by that.
    """
    await _run("tests.analytics_svc.agreement.before", year_environment["CLICKHOUSE_URL"])
    service = service_of(year_home, year_environment)
    await service.start()
    async with clients.channel(service.url, services=[SERVICE]) as channel:
        analytics = Analytics(AnalyticsServiceStub(channel))
        await _count_the_rest(year_environment["NATS_URL"], analytics)
        await _filled(year_environment["NATS_URL"])
        await _run("analytics_svc", "forget", environment=year_environment)
        yield analytics
    await service.stop()


async def _run(module: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, env=environment)
    assert await process.wait() == 0


async def _filled(nats_url: str) -> None:
    """Wait until the views that the other scripts have made have the first half, too."""
    async with events.connected(nats_url, name="tests") as bus:
        jetstream = await bus.jetstream()

        async def filled() -> bool:
            task, _ = await upkeep.read(await position.bucket(jetstream))
            # The night's work comes after it.
            return bool(task.day) or (task.name, task.state) == ("fill", upkeep.DONE)

        await eventually(filled, True)


async def _count_the_rest(nats_url: str, analytics: Analytics) -> None:
    async with events.connected(nats_url, name="tests") as bus:
        await bus.jetstream()
        await publish_all(bus, second_half())

    async def all_counted() -> bool:
        overview = (await analytics.overview()).data
        return overview.HasField("ingest_lag_seconds") and overview.ingest_lag_seconds == 0

    await eventually(all_counted, True)
