"""Two replicas of each service behind one edge, each in a process of its own, as a cluster runs them."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

from mesh.processes import CREATE_ADMIN, SERVICES
from svckit import local
from svckit.local import Home, Program, Supervised, probes
from tests.waiting import until

ADMINISTRATOR, PASSWORD = "root@example.com", "a long walk home"
REPLICAS = ("1", "2")
_GRACE = timedelta(seconds=30)


@dataclass(frozen=True)
class Replica:
    """One process of a service."""

    program: Supervised
    address: str
    admin: str

    async def roll(self, *, serves: str) -> None:
        """Stop it by SIGTERM and start it again; done as soon as it has answered an RPC of that name."""
        await self.program.restart()
        await until(lambda: self._has_served(serves))

    async def _has_served(self, rpc: str) -> bool:
        async with aiohttp.ClientSession(self.admin) as http, http.get("/metrics") as answer:
            text = await answer.text()
        return any(
            line.startswith("rpc_server_call_duration_seconds_count") and rpc in line for line in text.split("\n")
        )


@dataclass(frozen=True)
class Cluster:
    """The replicas by service, and the edge's URL."""

    replicas: Mapping[str, tuple[Replica, ...]]
    url: str


@asynccontextmanager
async def running(home: Home, *, model_url: str) -> AsyncIterator[Cluster]:
    """Start engines, replicas and edge, and make an administrator; everything has ended after the block."""
    async with AsyncExitStack() as stack:
        engines = await stack.enter_async_context(local.engines(home, durable=False))
        warehouse = f"127.0.0.1:{home.port('clickhouse')}"
        ports = {
            (name, number): (home.port(name + number), home.port(f"{name}{number}-admin"))
            for name in SERVICES
            for number in REPLICAS
        }
        told = {
            **os.environ,
            "DATABASE_URL": engines.database_url,
            "REDIS_URL": engines.redis_url,
            "NATS_URL": engines.nats_url,
            "CLICKHOUSE_URL": f"http://{warehouse}/default",
            "LOCAL_MODEL_URL": model_url,
            "TITLES_BY_MODEL": "false",
            "RATE_LIMIT_PER_MINUTE": "0",
            "STOP_GRACE": "3",
            **{
                f"{name.upper()}_SERVICE_URL": _target([ports[name, number][0] for number in REPLICAS])
                for name in SERVICES
            },
        }
        clickhouse = Supervised(
            Program(
                name="clickhouse",
                command=(*_python("tests.analytics_svc.clickhouse_http"), warehouse, str(home.folder("clickhouse"))),
                environment=told,
            ),
            home=home,
            url=warehouse,
            ready=probes.answers(f"http://{warehouse}/ping"),
        )
        await asyncio.gather(_started(stack, clickhouse), _make_administrator(told))
        replicas = {
            name: tuple(
                _replica(home, f"{name}_svc", ports[name, number], told | {"MIGRATE_AT_START": migrates})
                for number, migrates in zip(REPLICAS, ("true", "false"), strict=True)
            )
            for name in SERVICES
        }
        await asyncio.gather(*(_started(stack, one.program) for both in replicas.values() for one in both))
        port = home.port("edge")
        url = f"http://127.0.0.1:{port}"
        program = Program(name="edge", command=_python("edge"), environment={**told, "EDGE_PORT": str(port)})
        await _started(stack, Supervised(program, home=home, url=url, ready=probes.answers(f"{url}/readyz")))
        yield Cluster(replicas, url)


def _replica(home: Home, module: str, ports: tuple[int, int], told: Mapping[str, str]) -> Replica:
    address, admin = (f"127.0.0.1:{port}" for port in ports)
    own = {"LISTEN": address, "ADMIN_LISTEN": admin}
    program = Program(name=f"{module}-{ports[0]}", command=_python(module), environment={**told, **own})
    ready = probes.answers(f"http://{admin}/readyz")
    return Replica(Supervised(program, home=home, url=address, ready=ready, grace=_GRACE), address, f"http://{admin}")


async def _started(stack: AsyncExitStack, program: Supervised) -> None:
    await program.start()
    stack.push_async_callback(program.stop)


async def _make_administrator(told: Mapping[str, str]) -> None:
    command = (*_python(CREATE_ADMIN), ADMINISTRATOR, "--password-stdin")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=DEVNULL, env=told)
    await process.communicate(f"{PASSWORD}\n".encode())
    assert process.returncode == 0


def _target(ports: list[int]) -> str:
    """All replicas under one name, as a headless service's DNS answers."""
    return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module)
