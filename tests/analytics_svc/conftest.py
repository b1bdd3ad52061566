"""The analytics service, as production starts it: a process of its own, because the embedded engine wants one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from chatmesh.analytics.v1 import analytics_pb2
from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub

from svckit import clients, events, local
from svckit.events import Bus
from svckit.local import Engines, Home, Supervised
from svckit.local.nats import start_nats
from tests.analytics_svc.analyst import Analytics
from tests.analytics_svc.running import environment_of, service_of

SERVICE = analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"]


@pytest.fixture(scope="session")
async def own_home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    async with Home.opened(Path(tmp_path_factory.mktemp("analytics"))) as home:
        yield home


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Supervised]:
    """A NATS that a test may kill, with nobody else at it."""
    async with Home.opened(Path(tmp_path_factory.mktemp("broker"))) as home:
        server = await start_nats(home, durable=False)
        yield server
        await server.stop()


@pytest.fixture(scope="session")
async def own_engines(own_home: Home, engines: Engines) -> AsyncIterator[Engines]:
    """A NATS of our own: what other tests publish would be counted too."""
    given = {"DATABASE_URL": engines.database_url, "REDIS_URL": engines.redis_url}
    async with local.engines(own_home, durable=False, given=given) as started:
        yield started


@pytest.fixture(scope="session")
def environment(own_home: Home, own_engines: Engines, auth_address: str) -> dict[str, str]:
    return environment_of(own_home, own_engines, auth_address)


@pytest.fixture(scope="session")
async def service(own_home: Home, environment: dict[str, str]) -> AsyncIterator[Supervised]:
    """The running service. A test may kill it, and starts it again."""
    supervised = service_of(own_home, environment)
    await supervised.start()
    yield supervised
    await supervised.stop()


@pytest.fixture(scope="session")
async def bus(own_engines: Engines, service: Supervised) -> AsyncIterator[Bus]:
    async with events.connected(own_engines.nats_url, name="tests") as connected:
        await connected.jetstream()
        yield connected


@pytest.fixture(scope="session")
async def analytics(service: Supervised) -> AsyncIterator[Analytics]:
    async with clients.channel(service.url, services=[SERVICE]) as channel:
        yield Analytics(AnalyticsServiceStub(channel))
