"""The billing service, as production starts it, on engines of its own and the emulator as a real HTTP server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chatmesh.billing.v1 import billing_pb2
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceStub

from billing_svc import app
from billing_svc.emulator import server
from billing_svc.settings import BillingSettings
from svckit import clients, postgres
from svckit.identity import ServiceCredential
from svckit.local import Engines, Home
from svckit.local.nats import start_nats
from svckit.postgres import Database
from tests.billing_svc.administrator import Administrator
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide, looking_at
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceAsyncStub

SERVICES = [billing_pb2.DESCRIPTOR.services_by_name["BillingService"]]
SECRETS = ("whsec_the_old_one", "whsec_the_new_one")
CALLS_TAKE = timedelta(seconds=PATIENCE)  # what an edge would not wait for, on a busy machine


@dataclass(frozen=True)
class Billing:
    """A running billing service and two ways to call it: as anybody, and as the edge."""

    settings: BillingSettings
    address: str
    stub: "BillingServiceAsyncStub"
    as_edge: "BillingServiceAsyncStub"

    def customer(self) -> Customer:
        return Customer(self.stub)

    def administrator(self) -> Administrator:
        return Administrator(self.stub)


Start = Callable[..., AbstractAsyncContextManager[Billing]]


@pytest.fixture(scope="session")
async def stripe_side(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StripeSide]:
    data = Path(tmp_path_factory.mktemp("stripe")) / "emulator.sqlite"
    async with (
        server.running(listen="127.0.0.1:0", data=data, webhook_url="", webhook_secret="") as url,
        looking_at(url) as side,
    ):
        yield side


@pytest.fixture(scope="session")
async def settings(
    engines: Engines, new_database: Callable[[], Awaitable[str]], stripe_side: StripeSide, auth_address: str
) -> BillingSettings:
    return BillingSettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "admin_listen": "127.0.0.1:0",
            "database_url": await new_database(),
            "redis_url": engines.redis_url,
            "nats_url": engines.nats_url,
            "auth_service_url": auth_address,
            "stripe_api_base": stripe_side.url,
            "stripe_webhook_secret": ",".join(SECRETS),
        }
    )


@pytest.fixture(scope="session")
async def alone(
    settings: BillingSettings, new_database: Callable[[], Awaitable[str]], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BillingSettings]:
    """Settings of a service that nobody works beside: its database and its events are its own."""
    async with Home.opened(Path(tmp_path_factory.mktemp("alone"))) as home:
        nats = await start_nats(home, durable=False)
        own = {"database_url": await new_database(), "nats_url": nats.url}
        yield BillingSettings.model_validate(settings.model_dump() | own)
        await nats.stop()


@pytest.fixture(scope="session")
def start(settings: BillingSettings) -> Start:
    """Start a service: the shared one's settings, but for those that are given."""

    @asynccontextmanager
    async def started(**different: object) -> AsyncIterator[Billing]:
        own = BillingSettings.model_validate(settings.model_dump() | different)
        credential = ServiceCredential("edge", own.service_secret.get_secret_value())
        async with (
            app.serving(own) as serving,
            clients.channel(serving.address, services=SERVICES, timeout=CALLS_TAKE) as channel,
            clients.channel(serving.address, services=SERVICES, credential=credential, timeout=CALLS_TAKE) as edge,
        ):
            yield Billing(own, serving.address, BillingServiceStub(channel), BillingServiceStub(edge))

    return started


@pytest.fixture(scope="session")
async def billing(start: Start) -> AsyncIterator[Billing]:
    async with start() as started:
        yield started


@pytest.fixture(scope="session")
async def database(billing: Billing) -> AsyncIterator[Database]:
    async with postgres.connected(str(billing.settings.database_url)) as connected:
        yield connected


@pytest.fixture
def customer(billing: Billing) -> Customer:
    return billing.customer()


@pytest.fixture
def administrator(billing: Billing) -> Administrator:
    return billing.administrator()
