"""Ends what deleted accounts still have at Stripe: every subscription, at once. Invoices stay, as the law asks.

The mark on the customer's row says what is to be done: a crash at any moment, or a Stripe that is away, only delays it.
"""

import asyncio
from datetime import UTC, datetime

import stripe
import structlog

from billing_svc import store
from billing_svc.driver.connection import Driver
from billing_svc.projection import Projection
from svckit.errors import ServiceError
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 2.0
_ENDED = ("canceled", "incomplete_expired")


class Closing:
    """Closes customers whose accounts were deleted; any number of replicas may, beside each other."""

    def __init__(self, *, database: Database, driver: Driver, projection: Projection) -> None:
        self._database = database
        self._driver = driver
        self._projection = projection

    async def run(self) -> None:
        """For ever: close whoever is marked."""
        while True:
            async with self._database.transaction() as session:
                marked = await store.customers_to_close(session)
            for user_id, stripe_id in marked:
                try:
                    await self._close(user_id, stripe_id)
                except (ServiceError, stripe.StripeError) as error:
                    log.warning("a deleted account keeps its subscription for now", user=user_id, error=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _close(self, user_id: str, stripe_id: str | None) -> None:
        async with self._database.transaction() as session:
            # What was being made before the mark ends first, by its own request or by the sweep; nothing new begins.
            if await store.has_pending(session, user_id):
                return
        if stripe_id:
            await self._cancel_all(stripe_id)
        async with self._database.transaction() as session:
            await store.mark_closed(session, user_id, now=datetime.now(UTC))
        log.info("a deleted account has nothing left at stripe", user=user_id)

    async def _cancel_all(self, stripe_id: str) -> None:
        for theirs in await self._driver.subscriptions.of_customer(stripe_id):
            if theirs.status not in _ENDED:
                await self._driver.subscriptions.cancel(theirs.id)
        async with self._database.transaction() as session:
            await self._projection.follow(session, stripe_id)
