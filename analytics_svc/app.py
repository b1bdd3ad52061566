"""The wiring of the service: engines, consumer and server, opened in order and closed in reverse."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
from chatmesh.analytics.v1 import analytics_pb2
from chatmesh.analytics.v1.analytics_pb2_grpc import add_AnalyticsServiceServicer_to_server
from chatmesh.auth.v1 import auth_pb2
from redis.asyncio import Redis

from analytics_svc import clickhouse, position, schema
from analytics_svc.consumer import Consumer
from analytics_svc.servicer import Analytics
from analytics_svc.settings import AnalyticsSettings
from svckit import clients, events, identity, server
from svckit.process import background
from svckit.revocations import Revocations

_NAME = "analytics"
_SERVICE = analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"]
_AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]
_LAG_SECONDS = 2
_REDIS_SECONDS = 2.0


@asynccontextmanager
async def serving(settings: AnalyticsSettings) -> AsyncIterator[server.Serving]:
    """The whole service. Raises EngineInUseError or Unavailable when ClickHouse cannot be opened."""
    credential = identity.ServiceCredential(_NAME, settings.service_secret.get_secret_value())
    async with (
        Redis.from_url(
            settings.redis_url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
        ) as redis,
        events.connected(settings.nats_url, name=_NAME) as bus,
        clients.channel(settings.auth_service_url, services=[_AUTH], credential=credential) as auth,
        clickhouse.connected(settings.clickhouse_url) as warehouse,
    ):
        await schema.migrate(warehouse)
        revocations = Revocations(redis)
        verifier = identity.TokenVerifier(keys=identity.RemoteKeys(identity.keys_of(auth)), revocations=revocations)

        async def lag() -> float | None:
            return await _ingest_lag(bus)

        async with (
            background(revocations.run, Consumer(bus=bus, clickhouse=warehouse).run),
            server.running(
                name=_NAME,
                services=[
                    server.Service(
                        descriptor=_SERVICE,
                        add=add_AnalyticsServiceServicer_to_server,
                        servicer=Analytics(clickhouse=warehouse, lag=lag),
                    )
                ],
                listen=settings.listen,
                admin_listen=settings.admin_listen,
                verifier=verifier,
                credential=credential,
                checks={"clickhouse": warehouse.ping, "nats": bus.ping},
            ) as running,
        ):
            yield running


async def _ingest_lag(bus: events.Bus) -> float | None:
    """Age of the oldest event that is not counted yet, 0 when all are; None while NATS cannot tell."""
    try:
        async with asyncio.timeout(_LAG_SECONDS):
            since = await position.oldest_waiting(await bus.jetstream())
    except (TimeoutError, nats.errors.Error):
        return None
    return max(time.time() - since.timestamp(), 0.0) if since else 0.0
