"""The analytics service, as production starts it: a process of its own, because the embedded engine wants one."""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from chatmesh.analytics.v1 import analytics_pb2
from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub

from svckit import clients, events, local
from svckit.events import Bus
from svckit.local import Engines, Home, Program, Supervised
from svckit.local.probes import answers
from tests.analytics_svc.analyst import Analytics

SERVICE = analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"]
SECRET = "a service secret that only tests know"
LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="session")
async def own_home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    async with Home.opened(Path(tmp_path_factory.mktemp("analytics"))) as home:
        yield home


@pytest.fixture(scope="session")
async def own_engines(own_home: Home, engines: Engines) -> AsyncIterator[Engines]:
    """A NATS of our own: what other tests publish would be counted too."""
    given = {"DATABASE_URL": engines.database_url, "REDIS_URL": engines.redis_url}
    async with local.engines(own_home, durable=False, given=given) as started:
        yield started


@pytest.fixture(scope="session")
def environment(own_home: Home, own_engines: Engines, auth_address: str) -> dict[str, str]:
    return {
        **os.environ,
        "LISTEN": f"{LOOPBACK}:{own_home.port('grpc')}",
        "ADMIN_LISTEN": f"{LOOPBACK}:{own_home.port('admin')}",
        "CLICKHOUSE_URL": f"chdb://{own_home.path}/clickhouse",
        "NATS_URL": own_engines.nats_url,
        "REDIS_URL": own_engines.redis_url,
        "AUTH_SERVICE_URL": auth_address,
        "SERVICE_SECRET": SECRET,
    }


@pytest.fixture(scope="session")
async def service(own_home: Home, environment: dict[str, str]) -> AsyncIterator[Supervised]:
    """The running service. A test may kill it, and starts it again."""
    program = Program(name="analytics", command=(sys.executable, "-m", "analytics_svc"), environment=environment)
    ready = answers(f"http://{environment['ADMIN_LISTEN']}/readyz")
    supervised = Supervised(program, home=own_home, url=environment["LISTEN"], ready=ready)
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
