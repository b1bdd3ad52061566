"""The engines that every test stands on, started once a session from their wheels."""

import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from svckit import local
from svckit.local import Engines, Home
from tests import callers
from tests.sharing import Sharing

# The same examples each time, however long one takes: whether a run passes depends on the code alone.
hypothesis.settings.load_profile("ci")


def pytest_configure(config: pytest.Config) -> None:
    """Where Python may write no bytecode beside its sources, keep it apart: it is half of each start of a process."""
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode, sys.pycache_prefix = False, str(config.rootpath / ".pytest_cache" / "bytecode")
        os.environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": sys.pycache_prefix}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Sharing:
    return Sharing(config, log)


@pytest.fixture(scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    async with Home.opened(Path(tmp_path_factory.mktemp("home"))) as opened:
        yield opened


@pytest.fixture(scope="session")
async def engines(home: Home) -> AsyncIterator[Engines]:
    """PostgreSQL, Valkey and NATS; without the fsyncs that only a power cut could need."""
    async with local.engines(home, durable=False) as started:
        yield started


@pytest.fixture(scope="session")
async def auth_address() -> AsyncIterator[str]:
    """Where the services find the key of the tokens that tests sign."""
    async with callers.keys_published() as address:
        yield address


@pytest.fixture(scope="session")
def new_database(engines: Engines) -> Callable[[], Awaitable[str]]:
    """Make a fresh, empty database and answer its URL."""

    async def make() -> str:
        name = f"t_{uuid.uuid4().hex}"
        async with await psycopg.AsyncConnection.connect(engines.database_url, autocommit=True) as connection:
            await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return engines.database_url.rsplit("/", 1)[0] + f"/{name}"

    return make
