"""Compares our rows with Stripe's and repairs ours, whatever was not heard: hourly what changed, nightly everything.

Of many replicas one works, holding an advisory lock. When each kind was done last stands in a table, so that a restart
neither repeats nor forgets it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

import stripe
import structlog
from prometheus_client import Counter

from billing_svc import drift, reconciliation_store, store
from billing_svc.drift import Repair
from billing_svc.driver.connection import Driver
from billing_svc.models import Customer
from billing_svc.projection import Projection
from svckit import postgres
from svckit.errors import Aborted, NotFound, ServiceError
from svckit.postgres import Database

log = structlog.get_logger(__name__)

RECENT, ALL = "recent", "all"

_LOCK = "billing:reconcile"
_LOOK_EVERY = timedelta(minutes=1)
_EVERY = timedelta(hours=1)
_NIGHT = timedelta(hours=3)  # after midnight, UTC
# Stripe tries webhooks for three days, but one that is two days late has been missed.
_RECENT = timedelta(days=2)


@dataclass
class Outcome:
    """What one run has found."""

    compared: int = 0
    repairs: list[Repair] = field(default_factory=list)


class Reconciling:
    """Reconciles, on request and by the clock."""

    def __init__(self, *, database: Database, driver: Driver, projection: Projection) -> None:
        self._database = database
        self._driver = driver
        self._projection = projection

    async def run(self) -> None:
        """For ever: whatever is due."""
        while True:
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            for kind in (ALL, RECENT):
                try:
                    await self._run_if_due(kind, now=datetime.now(UTC))
                except (ServiceError, stripe.StripeError) as error:
                    log.warning("not reconciled, will try again", kind=kind, error=str(error))

    async def everybody(self, *, recent_only: bool) -> Outcome:
        """Reconcile all customers, or those that Stripe told of lately. Raises Aborted while another run works."""
        async with self._alone():
            return await self._everybody(RECENT if recent_only else ALL)

    async def one(self, user_id: str) -> Outcome:
        """Reconcile one user. Raises NotFound."""
        async with self._database.transaction() as session:
            customer = await store.find_customer(session, user_id)
        if customer is None:
            raise NotFound("no customer of that user")
        outcome = Outcome()
        await self._compare(customer, outcome)
        return outcome

    async def _run_if_due(self, kind: str, *, now: datetime) -> None:
        async with self._database.transaction() as session:
            last = await reconciliation_store.last_run(session, kind)
        if last is None or last < _due_since(kind, now=now):
            async with self._alone():
                await self._everybody(kind)

    async def _everybody(self, kind: str) -> Outcome:
        started, outcome = datetime.now(UTC), Outcome()
        wanted = None if kind == ALL else await self._driver.events.customers_since((started - _RECENT).timestamp())
        after = ""
        while page := await self._page(after):
            for customer in page:
                if wanted is None or customer.stripe_id in wanted:
                    await self._compare(customer, outcome)
            after = page[-1].user_id
        async with self._database.transaction() as session:
            await reconciliation_store.note_run(session, kind, at=started)
        log.info("reconciled", kind=kind, compared=outcome.compared, repaired=len(outcome.repairs))
        return outcome

    async def _page(self, after: str) -> list[Customer]:
        async with self._database.transaction() as session:
            return list(await reconciliation_store.customers_page(session, after=after))

    async def _compare(self, customer: Customer, outcome: Outcome) -> None:
        """Follow Stripe for a customer, and note what changed by it."""
        if not customer.stripe_id:
            return
        # The turn first: those who have one may be waiting for this customer's lock.
        async with self._projection.turn(), self._database.transaction() as session:
            await store.lock_customer(session, stripe_id=customer.stripe_id)
            before = await drift.picture(session, customer.user_id)
            await self._projection.follow_in_turn(session, customer.stripe_id)
            await session.flush()
            after = await drift.picture(session, customer.user_id)
        outcome.compared += len(after)
        for repair in drift.repairs(before, after, user_id=customer.user_id):
            outcome.repairs.append(repair)
            _repairs().labels(repair.kind).inc()
            log.warning("repaired", kind=repair.kind, id=repair.id, user=repair.user_id, difference=repair.difference)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._database.dedicated() as connection:
            if not await postgres.try_hold(connection, _LOCK):
                raise Aborted("another reconciliation is running, wait for it", reason="RECONCILIATION_RUNNING")
            yield


def _due_since(kind: str, *, now: datetime) -> datetime:
    """A run that is older than that is due again."""
    if kind == RECENT:
        return now - _EVERY
    night = now.replace(hour=0, minute=0, second=0, microsecond=0) + _NIGHT
    return night if night <= now else night - timedelta(days=1)


@cache
def _repairs() -> Counter:
    return Counter("billing_rows_repaired", "Rows that were not as Stripe's when they were compared.", ["kind"])
