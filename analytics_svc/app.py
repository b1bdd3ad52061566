"""The analytics service as a running thing: put together once for production and tests."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import nats.errors
from chatmesh.analytics.v1 import analytics_pb2
from chatmesh.analytics.v1.analytics_pb2_grpc import add_AnalyticsServiceServicer_to_server

from analytics_svc import clickhouse, lease, position, schema
from analytics_svc.clickhouse import ClickHouse
from analytics_svc.consumer import Consumer
from analytics_svc.nightly import Nightly
from analytics_svc.servicer import Analytics
from analytics_svc.servicer.overview import Backlog
from analytics_svc.settings import AnalyticsSettings
from analytics_svc.upkeep import Upkeep
from svckit import events, process, redis_client, server
from svckit.identity import ServiceCredential
from svckit.server import Service, Serving
from svckit.verification import token_verifier

_NAME = "analytics"
_ANALYTICS = analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"]
_LAG_SECONDS = 2


@asynccontextmanager
async def serving(settings: AnalyticsSettings) -> AsyncIterator[Serving]:
    """Serve until the block ends; ready when this gives.

    Raises EngineInUseError or Unavailable when ClickHouse cannot be opened.
    """
    credential = ServiceCredential(_NAME, settings.service_secret.get_secret_value())
    async with (
        clickhouse.connected(settings.clickhouse_url) as warehouse,
        events.connected(settings.nats_url, name=_NAME, replicas=settings.nats_replicas) as bus,
        redis_client.connected(str(settings.redis_url)) as redis,
        token_verifier(
            auth_service_url=settings.auth_service_url, redis=redis, credential=credential, tls=settings.tls
        ) as verifier,
    ):
        if settings.migrate_at_start:
            await _migrated_alone(warehouse, bus, settings)
        else:
            await schema.await_migrated(warehouse)
        upkeep = Upkeep(
            warehouse, nightly=Nightly.parse(settings.analytics_audit_at), cluster=settings.clickhouse_cluster
        )
        consumer = Consumer(bus=bus, clickhouse=warehouse, upkeep=upkeep)
        servicer = Analytics(clickhouse=warehouse, backlog=partial(_backlog, bus))
        async with (
            process.background(consumer.run),
            server.running(
                name=_NAME,
                services=[Service(_ANALYTICS, add_AnalyticsServiceServicer_to_server, servicer)],
                listen=settings.listen,
                admin_listen=settings.admin_listen,
                verifier=verifier,
                credential=credential,
                checks={"clickhouse": warehouse.ping},  # without Redis and NATS, what was counted is still shown
                grace=timedelta(seconds=settings.stop_grace),
                tls=settings.tls,
                health_listen=settings.health_listen,
            ) as running,
        ):
            yield running


async def _migrated_alone(warehouse: ClickHouse, bus: events.Bus, settings: AnalyticsSettings) -> None:
    """As `migrate` does, one instance after the other; without NATS only where the tables are as they should be."""
    if not await schema.is_migrated(warehouse):
        async with lease.held(await bus.jetstream()):
            await schema.migrate(warehouse, cluster=settings.clickhouse_cluster)
    await schema.keep(warehouse, settings.kept_days, cluster=settings.clickhouse_cluster)


async def _backlog(bus: events.Bus) -> Backlog | None:
    """What is not counted yet; None while NATS cannot tell."""
    try:
        async with asyncio.timeout(_LAG_SECONDS):
            jetstream = await bus.jetstream()
            since, waiting = await position.oldest_waiting(jetstream), await position.waiting(jetstream)
    except (TimeoutError, nats.errors.Error):
        return None
    return Backlog(events=waiting, seconds=max(time.time() - since.timestamp(), 0.0) if since else 0.0)
