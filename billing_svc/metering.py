"""What was used beyond a plan goes on the next invoice, once.

Usage is counted in the period that it happened in; when that is closed, in the next one. A period is over when Stripe
has begun the next, whatever our clock says. Its row fixes the amount before Stripe is asked for an invoice item with a
key made from that row: a crash at any moment only delays it.
"""

import asyncio
from collections import Counter

import stripe
import structlog
from chatmesh.events.v1 import events_pb2 as ev
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import change_store, entitlements, store, usage_store
from billing_svc.driver.connection import Driver
from billing_svc.driver.errors import Unsure
from billing_svc.driver.overages import Overage
from billing_svc.models import Subscription, UsagePeriod, UsageRecord
from billing_svc.money import Money
from billing_svc.plans import Plans
from billing_svc.usage_store import BILLED, WAIVED
from svckit.errors import ServiceError
from svckit.events import BadEvent, Event, unpack
from svckit.ids import new_id
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 2.0
_COUNTED = ("active", "past_due", "trialing")


class Metering:
    """Bills what was used beyond; any number of replicas may, beside each other."""

    def __init__(self, *, database: Database, driver: Driver) -> None:
        self._database = database
        self._driver = driver
        # How often Stripe has ended a period's request with a failure of its own, which it repeats for that key.
        self._spent: Counter[str] = Counter()

    async def run(self) -> None:
        """For ever: bill what is over."""
        while True:
            async with self._database.transaction() as session:
                over = await usage_store.periods_to_bill(session)
            for period in over:
                try:
                    await self._bill(period)
                except (ServiceError, stripe.StripeError) as error:
                    log.warning("overage is not billed yet", period=period.id, error=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _bill(self, period: UsagePeriod) -> None:
        async with self._database.transaction() as session:
            await store.wait_for_begun(session, period.user_id)
            if await change_store.is_charging(session, period.user_id):
                return  # Its invoice would take the overage along, which nobody was told: after it
            await usage_store.close(session, period.id)
            closed = await session.get_one(UsagePeriod, period.id)
            subscription = await session.get_one(Subscription, period.subscription_id)
            customer = await store.customer(session, period.user_id)
        if closed.status != usage_store.BEGUN:
            return
        amount, status = Money(closed.overage_minor, closed.currency), BILLED
        if subscription.status not in _COUNTED:
            # There is no next invoice, and nobody expects another one.
            log.warning("overage of an ended subscription is waived", period=period.id, amount=str(amount))
            status = WAIVED
        else:
            await self._ask(closed, amount, customer.stripe_id or "", subscription.stripe_id or "")
        async with self._database.transaction() as session:
            await usage_store.settle(session, period.id, status=status)

    async def _ask(self, period: UsagePeriod, amount: Money, customer: str, subscription: str) -> None:
        # Stripe forgets keys after a day or more: whatever is there already says so itself.
        if period.id not in await self._driver.overages.periods_of(customer):
            overage = Overage(amount, period.beyond, period.starts_at, period.ends_at)
            attempt = 1 + self._spent[period.id]
            try:
                await self._driver.overages.add(customer, subscription, overage, period_id=period.id, attempt=attempt)
            except Unsure as unsure:
                self._spent[period.id] += unsure.spent
                raise
        log.info("overage goes on the next invoice", period=period.id, amount=str(amount), tokens=period.beyond)


async def take(session: AsyncSession, event: Event) -> None:
    """Count what chat's work has used, once, however often it is told."""
    usage = unpack(event)
    if not isinstance(usage, ev.UsageRecorded) or not usage.work_id or usage.quantity < 0:
        raise BadEvent("it is no usage")
    if usage.meter != ev.METER_TOKENS:
        return
    record = UsageRecord(work_id=usage.work_id, user_id=event.about, quantity=usage.quantity, occurred_at=event.time)
    if await usage_store.keep_record(session, record):
        await usage_store.count(session, record)


async def open_period(session: AsyncSession, row: Subscription, *, plans: Plans) -> None:
    """Count in the subscription's current period from now on, by its plan."""
    if row.status not in _COUNTED or not row.current_period_start or not row.current_period_end:
        return
    limits = await entitlements.limits_of(session, row, plans=plans)
    if limits is None:
        return
    period = UsagePeriod(
        id=new_id(),
        user_id=row.user_id,
        subscription_id=row.id,
        starts_at=row.current_period_start,
        ends_at=row.current_period_end,
        included=limits.tokens_per(row.interval),
        per_1000_minor=limits.overage_per_1000_tokens.get(row.currency, 0),
        currency=row.currency,
    )
    await usage_store.open_period(session, period)
