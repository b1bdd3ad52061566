"""The engines of one home, started together: PostgreSQL, Valkey and NATS, each unless a URL stands in for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from svckit.local.home import Home
from svckit.local.nats import start_nats
from svckit.local.postgres import start_postgres
from svckit.local.supervised import Supervised
from svckit.local.valkey import start_valkey

_STARTERS: Mapping[str, Callable[..., Awaitable[Supervised]]] = MappingProxyType(
    {"DATABASE_URL": start_postgres, "REDIS_URL": start_valkey, "NATS_URL": start_nats}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """Where the engines are, and the processes of those that run here (None: somebody else's, by its URL)."""

    database_url: str
    redis_url: str
    nats_url: str
    postgres: Supervised | None
    valkey: Supervised | None
    nats: Supervised | None


@asynccontextmanager
async def engines(
    home: Home, *, durable: bool = True, given: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Engines]:
    """Start the engines in parallel; all of them answer when this gives them, and have ended when it returns.

    `durable=False` gives up what only a power cut could need, for speed in tests. An engine whose variable
    (DATABASE_URL, REDIS_URL, NATS_URL) is in `given` is not started. Raises LocalError, with nothing left running.
    """
    missing = [variable for variable in _STARTERS if not given.get(variable)]
    async with AsyncExitStack() as stack:

        async def start(variable: str) -> Supervised:
            started = await _STARTERS[variable](home, durable=durable)
            stack.push_async_callback(started.stop)
            return started

        outcomes = await asyncio.gather(*(start(variable) for variable in missing), return_exceptions=True)
        here: dict[str, Supervised] = {}
        for variable, outcome in zip(missing, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            here[variable] = outcome
        urls = {variable: here[variable].url if variable in here else given[variable] for variable in _STARTERS}
        yield Engines(
            database_url=urls["DATABASE_URL"],
            redis_url=urls["REDIS_URL"],
            nats_url=urls["NATS_URL"],
            postgres=here.get("DATABASE_URL"),
            valkey=here.get("REDIS_URL"),
            nats=here.get("NATS_URL"),
        )
