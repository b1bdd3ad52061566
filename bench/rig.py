"""The processes of a measurement: Valkey, the backend, the edge and Envoy, all on loopback and gone at the end."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from bench import envoy
from bench.backend import KEY_ID
from bench.rows import ROWS, SERVICE, Row
from svckit.identity import Claims, Role, SigningKey, mint
from svckit.local import Home, Program, Supervised
from svckit.local.probes import answers
from svckit.local.supervised import start_on_free_ports
from svckit.local.valkey import start_valkey

_ENVIRONMENT = {"PATH": os.defpath}
_COUNTED = {"RATE_LIMIT_PER_MINUTE": "10000000"}  # what a measurement needs; each request is counted as ever


class Disagreement(Exception):
    """The edge and Envoy answer differently: what they cost cannot be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """What runs, each with its `url` and `pid`; the token is one that the edge accepts."""

    backend: Supervised
    edge: Supervised
    envoy: Supervised
    token: str


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Rig]:
    """Start everything, and see that edge and Envoy answer the same; raises LocalError, NoEnvoy, Disagreement."""
    key = SigningKey.generate(KEY_ID)
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(Home.opened(folder))

        def kept(supervised: Supervised) -> Supervised:
            stack.push_async_callback(supervised.stop)
            return supervised

        valkey = kept(await start_valkey(home, durable=False))
        backend = kept(await start_backend(home, key))
        rig = Rig(
            backend=backend,
            edge=kept(await _edge(home, backend=port_of(backend), redis_url=valkey.url)),
            envoy=kept(await _envoy(home, backend=port_of(backend))),
            token=_token(key),
        )
        for row in ROWS.values():
            await _expect_same(row, rig)
        yield rig


def port_of(supervised: Supervised) -> int:
    return int(supervised.url.rpartition(":")[2])


def python(*arguments: str) -> tuple[str, ...]:
    """The command of a module of this tree."""
    return (sys.executable, "-m", *arguments)


def _token(key: SigningKey) -> str:
    expires = datetime.now(UTC) + timedelta(hours=1)
    return mint(Claims(user_id="bench", session_id="bench", role=Role.USER, token_id="bench", expires=expires), key)  # noqa: S106 - an id


async def start_backend(home: Home, key: SigningKey) -> Supervised:
    """The backend, which also publishes the key that access tokens are signed with."""

    def make(port: int) -> Supervised:
        url = f"tcp://127.0.0.1:{port}"
        program = Program(name="backend", command=python("bench.backend", str(port), key.x), environment=_ENVIRONMENT)
        return Supervised(program, home=home, url=url, ready=answers(url))

    return await start_on_free_ports(home, ["backend"], make)


async def _edge(home: Home, *, backend: int, redis_url: str) -> Supervised:
    services = {f"{name}_SERVICE_URL": f"127.0.0.1:{backend}" for name in ("AUTH", "CHAT", "BILLING", "ANALYTICS")}

    def make(port: int) -> Supervised:
        url = f"http://127.0.0.1:{port}"
        environment = {**_ENVIRONMENT, **services, **_COUNTED, "REDIS_URL": redis_url, "EDGE_PORT": str(port)}
        program = Program(name="edge", command=python("edge"), environment=environment)
        return Supervised(program, home=home, url=url, ready=answers(f"{url}/readyz"))

    return await start_on_free_ports(home, ["edge"], make)


async def _envoy(home: Home, *, backend: int) -> Supervised:
    rpcs = {row.rpc for row in ROWS.values()}

    def make(port: int) -> Supervised:
        url = f"http://127.0.0.1:{port}"
        command = envoy.command(home.folder("envoy"), service=SERVICE, rpcs=rpcs, port=port, backend=backend)
        program = Program(name="envoy", command=command, environment=_ENVIRONMENT)
        return Supervised(program, home=home, url=url, ready=answers(url.replace("http", "tcp")))

    return await start_on_free_ports(home, ["envoy"], make)


async def _expect_same(row: Row, rig: Rig) -> None:
    edge, other = await _documents(row, rig.edge, rig.token), await _documents(row, rig.envoy, rig.token)
    if edge != other or len(edge) != len(row.replies):
        raise Disagreement(f"{row.name}: the edge answers {str(edge)[:500]}, Envoy {str(other)[:500]}")


async def _documents(row: Row, server: Supervised, token: str) -> list[object]:
    """The JSON of one answer; of a stream, of every event."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(row.verb, server.url + row.path, headers=row.headers(token), data=row.body) as response,
    ):
        text = await response.text()
        if response.status != 200:
            raise Disagreement(f"{row.name}: {server.name} answers {response.status}: {text}")
    if not row.streams:
        return [json.loads(text)]
    return [json.loads(line.removeprefix("data:")) for line in text.splitlines() if line.startswith("data:")]
