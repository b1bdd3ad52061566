"""The billing service as a running thing: put together once for production and tests."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from chatmesh.billing.v1 import billing_pb2
from chatmesh.billing.v1.billing_pb2_grpc import add_BillingServiceServicer_to_server

from billing_svc import models
from billing_svc.cancelling import Cancelling
from billing_svc.changing import Changing
from billing_svc.closing import Closing
from billing_svc.consumer import Consumer
from billing_svc.driver.connection import Driver, connected
from billing_svc.metering import Metering
from billing_svc.paying import Paying
from billing_svc.plans import Plans
from billing_svc.previews import Previews
from billing_svc.projection import Projection
from billing_svc.reconciling import Reconciling
from billing_svc.refunding import Refunding
from billing_svc.repeats import FirstAnswers
from billing_svc.servicer import Billing
from billing_svc.settings import BillingSettings
from billing_svc.subscribing import Subscribing
from billing_svc.sweeping import Sweeping
from billing_svc.webhooks import Webhooks
from svckit import events, postgres, process, redis_client, server
from svckit.identity import ServiceCredential
from svckit.outbox import Relay
from svckit.postgres import Database
from svckit.server import Service, Serving
from svckit.verification import token_verifier

log = structlog.get_logger(__name__)

_NAME = "billing"
_BILLING = billing_pb2.DESCRIPTOR.services_by_name["BillingService"]
# What the emulator is charged when the caller names no card, so that the first subscription needs none.
_EMULATED_CARD = "pm_card_visa"


@asynccontextmanager
async def serving(settings: BillingSettings) -> AsyncIterator[Serving]:
    """Serve until the block ends; ready when this gives."""
    url, plans = str(settings.database_url), Plans.read()
    credential = ServiceCredential(_NAME, settings.service_secret.get_secret_value())
    await postgres.prepare(url, schema=models.SCHEMA, scripts=models.MIGRATIONS, migrating=settings.migrate_at_start)
    async with (
        postgres.connected(url, name=_NAME) as database,
        events.connected(settings.nats_url, name=_NAME, replicas=settings.nats_replicas) as bus,
        redis_client.connected(str(settings.redis_url)) as redis,
        token_verifier(
            auth_service_url=settings.auth_service_url, redis=redis, credential=credential, tls=settings.tls
        ) as verifier,
        _stripe(settings) as stripe,
    ):
        servicer, loops = _wired(settings, database=database, stripe=stripe, plans=plans)
        relay = Relay(database=database, table=models.outbox, bus=bus)
        consumer = Consumer(bus=bus, database=database)
        async with (
            process.background(relay.run, consumer.run, *loops),
            server.running(
                name=_NAME,
                services=[Service(_BILLING, add_BillingServiceServicer_to_server, servicer)],
                listen=settings.listen,
                admin_listen=settings.admin_listen,
                verifier=verifier,
                credential=credential,
                checks={"postgres": database.ping},  # without the others it goes on
                grace=timedelta(seconds=settings.stop_grace),
                tls=settings.tls,
                health_listen=settings.health_listen,
            ) as running,
        ):
            yield running


def _wired(
    settings: BillingSettings, *, database: Database, stripe: Driver, plans: Plans
) -> tuple[Billing, tuple[Callable[[], Awaitable[None]], ...]]:
    """What answers, and what runs beside it for ever."""
    projection = Projection(driver=stripe, plans=plans)
    subscribing = Subscribing(database=database, driver=stripe, projection=projection, plans=plans)
    changing = Changing(
        database=database,
        driver=stripe,
        projection=projection,
        plans=plans,
        previews=Previews(settings.service_secret.get_secret_value()),
    )
    cancelling = Cancelling(database=database, driver=stripe, projection=projection)
    paying = Paying(database=database, driver=stripe, projection=projection)
    refunding = Refunding(database=database, driver=stripe, projection=projection)
    metering = Metering(database=database, driver=stripe)
    reconciling = Reconciling(database=database, driver=stripe, projection=projection)
    sweeping = Sweeping(database=database, paying=paying, refunding=refunding)
    webhooks = Webhooks(database=database, projection=projection, secrets=settings.webhook_secrets, live=settings.live)
    closing = Closing(database=database, driver=stripe, projection=projection)
    servicer = Billing(
        database=database,
        driver=stripe,
        plans=plans,
        public_url=str(settings.public_url),
        live=settings.live,
        subscribing=subscribing,
        changing=changing,
        cancelling=cancelling,
        paying=paying,
        refunding=refunding,
        first_answers=FirstAnswers(database),
        webhooks=webhooks,
        reconciling=reconciling,
    )
    return servicer, (
        closing.run,
        subscribing.sweep,
        changing.sweep,
        sweeping.run,
        webhooks.apply_waiting,
        reconciling.run,
        metering.run,
    )


@asynccontextmanager
async def _stripe(settings: BillingSettings) -> AsyncIterator[Driver]:
    card = ""
    if settings.emulated:
        card = _EMULATED_CARD
        log.warning("payments are emulated: no real money", stripe=settings.stripe_url, default_card=card)
    async with connected(key=settings.stripe_key, url=settings.stripe_url, default_card=card) as driver:
        yield driver
