"""The auth service, as production starts it, on engines and a mail server of its own; one for all tests here."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from chatmesh.auth.v1 import auth_pb2
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceStub

from auth_svc import app
from auth_svc.clock import Clock, now
from auth_svc.passwords import Hasher
from auth_svc.settings import AuthSettings
from svckit import clients, postgres
from svckit.identity import ServiceCredential
from svckit.local import Engines
from svckit.postgres import Database
from tests.auth_svc.inbox import LOOPBACK, Inbox, listening
from tests.auth_svc.person import Person

if TYPE_CHECKING:
    from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceAsyncStub

SERVICES = [auth_pb2.DESCRIPTOR.services_by_name["AuthService"]]


class MovedClock:
    """The time, some way ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class StillClock:
    """A time that passes when it is put forward. It begins a little ago: access tokens count by the real one."""

    def __init__(self) -> None:
        self.restart()

    def __call__(self) -> datetime:
        return self.now

    def restart(self) -> None:
        self.now = datetime.now(UTC) - timedelta(minutes=8)


@dataclass(frozen=True)
class Auth:
    """A running auth service and two ways to call it: as anybody, and as the edge."""

    settings: AuthSettings
    address: str
    admin_url: str
    stub: "AuthServiceAsyncStub"
    as_edge: "AuthServiceAsyncStub"
    inbox: Inbox

    def person(self) -> Person:
        return Person(self.stub, self.inbox)

    def tables(self) -> AbstractAsyncContextManager[Database]:
        """The service's own, for what no RPC shows."""
        return postgres.connected(str(self.settings.database_url), pool_size=1)


Start = Callable[..., AbstractAsyncContextManager[Auth]]


@pytest.fixture(scope="session")
async def inbox() -> AsyncIterator[tuple[Inbox, int]]:
    made = Inbox()
    async with listening(made) as port:
        yield made, port


@pytest.fixture(scope="session")
async def settings(
    engines: Engines, new_database: Callable[[], Awaitable[str]], inbox: tuple[Inbox, int]
) -> AuthSettings:
    """Of the service that all tests share; passwords are hashed fast."""
    return AuthSettings.model_validate(
        {
            "listen": f"{LOOPBACK}:0",
            "admin_listen": f"{LOOPBACK}:0",
            "database_url": await new_database(),
            "redis_url": engines.redis_url,
            "nats_url": engines.nats_url,
            "smtp_url": f"smtp://{LOOPBACK}:{inbox[1]}",
            "public_url": "https://chat.example",
            "argon2_memory_kib": 64,
            "argon2_time_cost": 1,
        }
    )


@pytest.fixture(scope="session")
def start(settings: AuthSettings, inbox: tuple[Inbox, int], new_database: Callable[[], Awaitable[str]]) -> Start:
    """Start a service: the shared one's settings, but for those that are given.

    With a clock of its own it has a database of its own: others would take its letters over, or it theirs.
    """

    @asynccontextmanager
    async def started(*, hasher: Hasher | None = None, clock: Clock = now, **different: object) -> AsyncIterator[Auth]:
        if clock is not now:
            different = {"database_url": await new_database()} | different
        own = AuthSettings.model_validate(settings.model_dump() | different)
        credential = ServiceCredential("edge", own.service_secret.get_secret_value())
        async with (
            app.serving(own, hasher=hasher, clock=clock) as serving,
            clients.channel(serving.address, services=SERVICES) as channel,
            clients.channel(serving.address, services=SERVICES, credential=credential) as edge,
        ):
            yield Auth(
                own, serving.address, serving.admin_url, AuthServiceStub(channel), AuthServiceStub(edge), inbox[0]
            )

    return started


@pytest.fixture(scope="session")
async def auth(start: Start) -> AsyncIterator[Auth]:
    async with start() as started:
        yield started


@pytest.fixture
async def database(auth: Auth) -> AsyncIterator[Database]:
    async with auth.tables() as connected:
        yield connected


@pytest.fixture
def person(auth: Auth) -> Person:
    return auth.person()
