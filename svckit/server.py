"""A gRPC server as every service runs it, in production and in tests: interceptors, health, reflection, admin port."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import structlog
from chatmesh.access.v1 import access_pb2
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from svckit import admin, rpc
from svckit.health import Health
from svckit.identity import ServiceCredential, TokenVerifier
from svckit.rpc.call import rpcs_of
from svckit.rpc.pipeline import OPEN_SERVICES, REFLECTION
from svckit.tls import Tls

log = structlog.get_logger(__name__)

_UNLIMITED = 2**31 - 1


def options(*, min_ping_interval: timedelta = timedelta(seconds=10)) -> Sequence[tuple[str, int]]:
    """The server's channel options; `min_ping_interval` is how often a client with a silent stream may ping."""
    return (
        # Connections end now and then, so that clients resolve again and spread over new replicas (gRFC A9). Streams
        # on them go on: the grace after the age has no limit.
        ("grpc.max_connection_age_ms", 300_000),
        ("grpc.max_connection_idle_ms", 900_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Without this a client that pings its silent stream is cut off after three pings ("too_many_pings"). The name
        # with `recv` in it, often copied, does nothing.
        ("grpc.http2.min_ping_interval_without_data_ms", int(min_ping_interval / timedelta(milliseconds=1))),
        # gRPC resets calls at random with a bare CANCELLED once about 1000 wait (grpc/grpc#34782). These private
        # options lift that limit; ours (`rpc.shedding`) says RESOURCE_EXHAUSTED and when to come back. HTTP/2's own
        # limit stays away too: beyond it calls would wait silently in the client.
        ("grpc.server.max_pending_requests", _UNLIMITED),
        ("grpc.server.max_pending_requests_hard_limit", _UNLIMITED),
        # Above the edge's 10 MB body limit, so that it is the edge that says what is too large.
        ("grpc.max_receive_message_length", 16 << 20),
        ("grpc.max_metadata_size", 16 << 10),
        # A second process on the same port must fail, not share it.
        ("grpc.so_reuseport", 0),
    )


@dataclass(frozen=True)
class Service:
    """A service to serve: its descriptor, the generated `add_…Servicer_to_server`, and who answers."""

    descriptor: ServiceDescriptor
    add: Callable[[Any, grpc.aio.Server], None]
    servicer: object


@dataclass(frozen=True)
class Serving:
    """Where a running server is: `address` as `host:port`, `admin_url` as `http://host:port` or empty."""

    address: str
    admin_url: str


class AccessLevelMissing(Exception):
    """An RPC names no access level, so nobody could call it."""


@asynccontextmanager
async def running(
    *,
    name: str,
    services: Sequence[Service],
    listen: str,
    admin_listen: str | None,
    verifier: TokenVerifier,
    credential: ServiceCredential,
    checks: Mapping[str, admin.Check] = {},
    max_concurrent: int = 1000,
    lame_duck: timedelta = timedelta(milliseconds=250),
    grace: timedelta = timedelta(seconds=10),
    tls: Tls | None = None,
    health_listen: str = "",
) -> AsyncIterator[Serving]:
    """Serve for as long as the block runs, then say NOT_SERVING and let running calls finish for `grace`.

    Between the two, for `lame_duck` at most, the server still takes calls of clients that have not heard it yet.
    `max_concurrent` holds for unary calls and for streams apart. With `tls` only clients with a certificate are heard;
    `health_listen` is a plaintext port for health alone. Raises `AccessLevelMissing` if an RPC names no level,
    and `RuntimeError` if the port is taken.
    """
    descriptors = [service.descriptor for service in services]
    _check_levels(descriptors)
    interceptors = rpc.interceptors(
        descriptors, verifier=verifier, credential=credential, max_concurrent=max_concurrent
    )
    server = grpc.aio.server(interceptors=interceptors, options=options())
    health = _add(services, server)
    host, _, _ = listen.rpartition(":")
    port = server.add_secure_port(listen, tls.of_server()) if tls else server.add_insecure_port(listen)
    address = f"{host}:{port}"
    async with AsyncExitStack() as stack:
        admin_url = ""
        if admin_listen is not None:
            admin_url = await stack.enter_async_context(admin.serving(name=name, listen=admin_listen, checks=checks))
        await server.start()
        if health_listen:
            await stack.enter_async_context(_health_alone(health, health_listen))
        log.info("serving", address=address, admin=admin_url, tls=tls is not None)
        try:
            yield Serving(address, admin_url)
        finally:
            await health.stop(lame_duck=lame_duck)
            await server.stop(grace.total_seconds())
            log.info("stopped")


@asynccontextmanager
async def _health_alone(health: Health, listen: str) -> AsyncIterator[None]:
    server = grpc.aio.server(options=options())
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    server.add_insecure_port(listen)
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


def _add(services: Sequence[Service], server: grpc.aio.Server) -> Health:
    """Add the services, and with them health and reflection."""
    for service in services:
        service.add(service.servicer, server)
    names = [service.descriptor.full_name for service in services]
    health = Health(names)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    _reflect([*names, *OPEN_SERVICES], server)
    return health


def _reflect(names: Sequence[str], server: grpc.aio.Server) -> None:
    """Serve reflection in both versions. The package has v1alpha only; v1 has the same messages under another name.

    https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
    """
    info = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(version, {"ServerReflectionInfo": info}) for version in REFLECTION]
    )


def _check_levels(services: Sequence[ServiceDescriptor]) -> None:
    missing = [
        rpc.name for service in services for rpc in rpcs_of(service) if rpc.level == access_pb2.LEVEL_UNSPECIFIED
    ]
    if missing:
        raise AccessLevelMissing(f"no (chatmesh.access.v1.level) on {', '.join(missing)}")
