"""The analytics service as production starts it, over a folder that has events and no views yet: it makes them."""

import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from chatmesh.analytics.v1 import analytics_pb2 as pb
from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub

from bench.backend import KEY_ID
from bench.rig import port_of, python, start_backend
from svckit import clients, local
from svckit.identity import Claims, Role, SigningKey, mint
from svckit.local import Home, Program, Supervised
from svckit.local.probes import Probe
from svckit.local.supervised import start_on_free_ports

if TYPE_CHECKING:
    from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceAsyncStub

SERVICES = [pb.DESCRIPTOR.services_by_name["AnalyticsService"]]

_PATIENCE = timedelta(minutes=10)
_NO_DATABASE = "postgresql://127.0.0.1/none"  # analytics has none


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyticsRig:
    """The service as an analyst calls it, and the NATS that it hears of events by.

    `start_seconds` is what it took to start, to fill the views, and to compare them with the events.
    """

    stub: "AnalyticsServiceAsyncStub"
    metadata: tuple[tuple[str, str], ...]
    nats_url: str
    start_seconds: float


@asynccontextmanager
async def running(folder: Path, *, clickhouse: Path) -> AsyncIterator[AnalyticsRig]:
    """Start it with engines of its own; raises LocalError."""
    key = SigningKey.generate(KEY_ID)
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(Home.opened(folder))
        given = {"DATABASE_URL": _NO_DATABASE}
        engines = await stack.enter_async_context(local.engines(home, durable=False, given=given))
        auth = await start_backend(home, key)
        stack.push_async_callback(auth.stop)
        environment = {
            "PATH": os.defpath,
            "CLICKHOUSE_URL": f"chdb://{clickhouse}",
            "NATS_URL": engines.nats_url,
            "REDIS_URL": engines.redis_url,
            "AUTH_SERVICE_URL": f"127.0.0.1:{port_of(auth)}",
        }
        started = time.perf_counter()
        service = await start_on_free_ports(
            home, ["analytics", "admin"], lambda *ports: _service(home, environment, *ports)
        )
        stack.push_async_callback(service.stop)
        seconds = time.perf_counter() - started
        channel = await stack.enter_async_context(clients.channel(service.url, services=SERVICES))
        yield AnalyticsRig(
            stub=AnalyticsServiceStub(channel), metadata=_analyst(key), nats_url=engines.nats_url, start_seconds=seconds
        )


def _audited(metrics: str) -> Probe:
    """Whether the views are filled: the service's first audit comes after that, and tells when it ended."""

    async def audited() -> bool:
        try:
            async with aiohttp.ClientSession() as http, http.get(metrics) as answer:
                found = re.search(
                    r"^analytics_last_audit_timestamp_seconds ([1-9].*)$", await answer.text(), re.MULTILINE
                )
        except (aiohttp.ClientError, OSError):
            return False
        return found is not None

    return audited


def _service(home: Home, environment: dict[str, str], port: int, admin_port: int) -> Supervised:
    listen, admin = f"127.0.0.1:{port}", f"127.0.0.1:{admin_port}"
    program = Program(
        name="analytics",
        command=python("analytics_svc"),
        environment={**environment, "LISTEN": listen, "ADMIN_LISTEN": admin},
    )
    return Supervised(program, home=home, url=listen, ready=_audited(f"http://{admin}/metrics"), patience=_PATIENCE)


def _analyst(key: SigningKey) -> tuple[tuple[str, str], ...]:
    expires = datetime.now(UTC) + timedelta(hours=1)
    claims = Claims(user_id="bench", session_id="bench", role=Role.ANALYST, token_id="bench", expires=expires)  # noqa: S106 - an id
    return (("authorization", f"Bearer {mint(claims, key)}"),)
