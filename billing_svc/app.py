"""The billing service as a running thing: put together once for production and tests."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
from chatmesh.auth.v1 import auth_pb2
from chatmesh.billing.v1 import billing_pb2
from chatmesh.billing.v1.billing_pb2_grpc import add_BillingServiceServicer_to_server
from redis.asyncio import Redis

from billing_svc import driver, models
from billing_svc.plans import Plans
from billing_svc.projection import Projection
from billing_svc.servicer import Billing
from billing_svc.settings import BillingSettings
from billing_svc.subscribing import Subscribing
from billing_svc.webhooks import Webhooks
from svckit import clients, events, postgres, process, server
from svckit.identity import KeySource, RemoteKeys, ServiceCredential, TokenVerifier, keys_of
from svckit.outbox import Relay
from svckit.revocations import Revocations
from svckit.server import Service, Serving

MIGRATIONS = Path(__file__).parent / "migrations"

_log = structlog.get_logger(__name__)

_NAME = "billing"
_REDIS_SECONDS = 2.0
_BILLING = billing_pb2.DESCRIPTOR.services_by_name["BillingService"]
_AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]
# What the emulator is charged when the caller names no card, so that the first subscription needs none.
_EMULATED_CARD = "pm_card_visa"


@asynccontextmanager
async def serving(settings: BillingSettings, *, keys: KeySource | None = None) -> AsyncIterator[Serving]:
    """Serve until the block ends; ready when this gives. `keys` of access tokens come from auth if none are given."""
    url, plans = str(settings.database_url), Plans.read()
    credential = ServiceCredential(_NAME, settings.service_secret.get_secret_value())
    await postgres.migrate(url, schema=models.SCHEMA, scripts=MIGRATIONS)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(postgres.connected(url, name=_NAME))
        bus = await stack.enter_async_context(events.connected(settings.nats_url, name=_NAME))
        redis = await stack.enter_async_context(
            Redis.from_url(
                str(settings.redis_url), socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
            )
        )
        auth = await stack.enter_async_context(
            clients.channel(settings.auth_service_url, services=[_AUTH], credential=credential)
        )
        stripe = await stack.enter_async_context(_stripe(settings))
        projection = Projection(driver=stripe, plans=plans)
        subscribing = Subscribing(database=database, driver=stripe, projection=projection, plans=plans)
        webhooks = Webhooks(
            database=database, projection=projection, secrets=settings.webhook_secrets, live=settings.live
        )
        revocations = Revocations(redis)
        relay = Relay(database=database, table=models.outbox, bus=bus)
        await stack.enter_async_context(
            process.background(revocations.run, relay.run, subscribing.sweep, webhooks.apply_waiting)
        )
        servicer = Billing(database=database, plans=plans, subscribing=subscribing, webhooks=webhooks)
        yield await stack.enter_async_context(
            server.running(
                name=_NAME,
                services=[Service(_BILLING, add_BillingServiceServicer_to_server, servicer)],
                listen=settings.listen,
                admin_listen=settings.admin_listen,
                verifier=TokenVerifier(keys=keys or RemoteKeys(keys_of(auth)), revocations=revocations),
                credential=credential,
                checks={"postgres": database.ping},  # without the others it goes on
            )
        )


@asynccontextmanager
async def _stripe(settings: BillingSettings) -> AsyncIterator[driver.Driver]:
    card = ""
    if settings.emulated:
        card = _EMULATED_CARD
        _log.warning("payments are emulated: no real money", stripe=settings.stripe_url, default_card=card)
    async with driver.connected(key=settings.stripe_key, url=settings.stripe_url, default_card=card) as connected:
        yield connected
