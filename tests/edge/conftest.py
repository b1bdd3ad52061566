"""The edge as production starts it, before a real auth service; the other services are away."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest

import auth_svc.app
import edge.app
from auth_svc.settings import AuthSettings
from edge.settings import EdgeSettings
from svckit import local
from svckit.local import Engines, Home

NOWHERE = "127.0.0.1:1"

Start = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture(scope="session")
async def auth_settings(
    home: Home, engines: Engines, new_database: Callable[[], Awaitable[str]]
) -> AsyncIterator[AuthSettings]:
    async with local.mail_catcher(home) as smtp_url:
        yield AuthSettings.model_validate(
            {
                "listen": f"127.0.0.1:{home.port('edge-tests-auth')}",
                "admin_listen": "127.0.0.1:0",
                "database_url": await new_database(),
                "redis_url": engines.redis_url,
                "nats_url": engines.nats_url,
                "smtp_url": smtp_url,
            }
        )


@pytest.fixture(scope="session")
async def auth(auth_settings: AuthSettings) -> AsyncIterator[str]:
    async with auth_svc.app.serving(auth_settings) as serving:
        yield serving.address


@pytest.fixture(scope="session")
def start_edge(engines: Engines) -> Start:
    """Start an edge and answer its URL; services that are not named are away."""

    @asynccontextmanager
    async def started(**settings: object) -> AsyncIterator[str]:
        away = {f"{name}_service_url": NOWHERE for name in edge.app.SERVICES}
        ours = {"edge_port": 0, "redis_url": engines.redis_url, "rate_limit_per_minute": 0}
        given = ours | away | settings
        async with edge.app.serving(EdgeSettings.model_validate(given)) as serving:
            yield serving.url

    return started


@pytest.fixture(scope="session")
async def edge_url(start_edge: Start, auth: str) -> AsyncIterator[str]:
    async with start_edge(auth_service_url=auth) as url:
        yield url


@pytest.fixture
async def http(edge_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser that has not been here before."""
    async with aiohttp.ClientSession(edge_url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session
