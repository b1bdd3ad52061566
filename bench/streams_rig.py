"""What streams go through: edge, chat and engines as production starts them, before a provider that keeps a pace."""

import os
import resource
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.backend import KEY_ID
from bench.rig import port_of, python
from svckit import local
from svckit.identity import Claims, Role, SigningKey, mint
from svckit.ids import new_id
from svckit.local import Engines, Home, Program, Supervised
from svckit.local.probes import answers
from svckit.local.supervised import start_on_free_ports

_FILES = 65536  # a stream needs two or three of them in each process


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamsRig:
    """What runs, and the access tokens of those who ask."""

    edge: Supervised
    chat: Supervised
    provider: Supervised
    engines: Engines
    people: Sequence[str]

    @property
    def pids(self) -> dict[str, int]:
        """The processes whose time is worth knowing; PostgreSQL's are many and come and go."""
        found = {"chat": self.chat, "edge": self.edge, "Valkey": self.engines.valkey}
        return {name: process.pid for name, process in found.items() if process and process.pid}


@asynccontextmanager
async def running(folder: Path, *, people: int, pace: int) -> AsyncIterator[StreamsRig]:
    """Start it all; raises LocalError."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, most), most))
    key = SigningKey.generate(KEY_ID)
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(Home.opened(folder))
        engines = await stack.enter_async_context(local.engines(home, durable=False))

        async def start(name: str, *command: str, admin: bool = False, **environment: str) -> Supervised:
            def make(port: int, admin_port: int = 0) -> Supervised:
                placed = [str(port) if part == "PORT" else part for part in command]
                ports = {
                    "LISTEN": f"127.0.0.1:{port}",
                    "ADMIN_LISTEN": f"127.0.0.1:{admin_port}",
                    "EDGE_PORT": str(port),
                }
                program = Program(
                    name=name, command=python(*placed), environment={"PATH": os.defpath, **ports, **environment}
                )
                url = f"tcp://127.0.0.1:{port}"
                ready = answers(f"http://127.0.0.1:{admin_port}/readyz" if admin else url)
                return Supervised(program, home=home, url=url, ready=ready)

            started = await start_on_free_ports(home, [name, f"{name}-admin"] if admin else [name], make)
            stack.push_async_callback(started.stop)
            return started

        keys = await start("keys", "bench.backend", "PORT", key.x)
        provider = await start("provider", "bench.slow_provider", "PORT", str(pace))
        auth = f"127.0.0.1:{port_of(keys)}"
        chat = await start(
            "chat",
            "chat_svc",
            admin=True,
            DATABASE_URL=engines.database_url,
            NATS_URL=engines.nats_url,
            LOCAL_MODEL_URL=f"http://127.0.0.1:{port_of(provider)}/v1",
            LOG_LEVEL="warning",
            TITLES_BY_MODEL="false",  # else the provider is asked twice for each stream
            REDIS_URL=engines.redis_url,
            AUTH_SERVICE_URL=auth,
        )
        edge = await start(
            "edge",
            "edge",
            CHAT_SERVICE_URL=f"127.0.0.1:{port_of(chat)}",
            RATE_LIMIT_PER_MINUTE="10000000",
            MAX_CONNECTIONS=str(_FILES),
            MAX_CONNECTIONS_PER_ADDRESS=str(_FILES),
            LOG_LEVEL="warning",
            REDIS_URL=engines.redis_url,
            AUTH_SERVICE_URL=auth,
        )
        yield StreamsRig(
            edge=edge, chat=chat, provider=provider, engines=engines, people=[_token(key) for _ in range(people)]
        )


def _token(key: SigningKey) -> str:
    """The access token of somebody new."""
    expires = datetime.now(UTC) + timedelta(hours=1)
    return mint(Claims(new_id(), new_id(), Role.USER, new_id(), expires), key)
