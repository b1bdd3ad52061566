"""Our rows follow Stripe's: read everything of a customer there, write it here, and tell what changed.

One function for every cause (our own call, a webhook, a sweep), so the order of causes does not matter and the same
cause twice changes nothing. It reads under the customer's lock: an older reading never overwrites a newer one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import stripe
import structlog
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import (
    entitlements,
    facts,
    metering,
    models,
    payment_projection,
    store,
    subscription_projection,
)
from billing_svc.driver.connection import Driver
from billing_svc.facts import Standing
from billing_svc.models import Invoice, Subscription
from billing_svc.payment_facts import Billed
from billing_svc.payment_projection import Dated
from billing_svc.plans import Plans
from svckit import events, outbox
from svckit.ids import new_id

log = structlog.get_logger(__name__)

# Following keeps a connection of the pool for as long as Stripe takes to answer: the others are for everybody else.
_AT_ONCE = 4


class Projection:
    """Brings one customer's rows up to date."""

    def __init__(self, *, driver: Driver, plans: Plans) -> None:
        self._driver = driver
        self._plans = plans
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def follow(self, session: AsyncSession, stripe_customer: str) -> bool:
        """Follow Stripe for that customer, in the session's transaction; false when the customer is not ours.

        It must come first in the transaction: waiting for its turn then keeps neither a connection nor a lock.
        """
        async with self.turn():
            return await self.follow_in_turn(session, stripe_customer)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until so few are following that one more may; to be taken before anything is locked."""
        async with self._turns:
            yield

    async def follow_in_turn(self, session: AsyncSession, stripe_customer: str) -> bool:
        """What `follow` does, for whoever has a turn already."""
        customer = await store.lock_customer(session, stripe_id=stripe_customer)
        if customer is None:
            return False
        subscriptions = await store.subscriptions_of(session, customer.user_id)
        # A subscription changes when we see it: Stripe does not date changes, and two dates of one must not cross.
        now = datetime.now(UTC)
        told: list[Dated] = []
        for theirs in await self._driver.subscriptions.of_customer(stripe_customer):
            deleted = customer.deleted_at is not None
            told += [(fact, now) for fact in self._subscription(subscriptions, theirs, deleted=deleted)]
        await session.flush()
        about_invoices, billed = await self._invoices(session, customer.user_id, subscriptions, stripe_customer)
        told += about_invoices
        told += await payment_projection.follow(
            session, self._driver.payments, user_id=customer.user_id, customer=stripe_customer, billed=billed
        )
        for row in subscriptions.values():
            await metering.open_period(session, row, plans=self._plans)
        changed = await entitlements.refresh(session, customer.user_id, subscriptions.values(), plans=self._plans)
        if changed:
            told.append((facts.entitlements_changed(changed), now))
        await _tell(session, customer.user_id, told)
        return True

    def _subscription(
        self, ours: dict[str, Subscription], theirs: stripe.Subscription, *, deleted: bool
    ) -> Iterator[Message]:
        """Theirs carries the id of ours; one that was made by hand at Stripe does not, and is left alone."""
        row = ours.get(theirs.metadata.to_dict().get("subscription_id", ""))
        if row is None:
            log.warning("a subscription at stripe is not one of ours", subscription=theirs.id)
            return
        before = Standing.of(row)
        subscription_projection.copy(row, theirs)
        if fact := facts.subscription_fact(row, before=before, deleted=deleted):
            yield fact

    async def _invoices(
        self, session: AsyncSession, user_id: str, subscriptions: dict[str, Subscription], stripe_customer: str
    ) -> tuple[list[Dated], dict[str, Billed]]:
        """Copies them; what to tell, on the day that Stripe booked it, and what their payments were for."""
        known = await store.invoices_of(session, user_id)
        by_stripe_id = {row.stripe_id: row for row in subscriptions.values()}
        told: list[Dated] = []
        billed: dict[str, Billed] = {}
        for theirs in await self._driver.invoices.of_customer(stripe_customer):
            subscription = by_stripe_id.get(_subscription_of(theirs))
            plan = subscription.plan_id if subscription else ""
            row = known.get(theirs.id) or Invoice(id=new_id(), user_id=user_id, stripe_id=theirs.id, status="draft")
            was_draft = row.status == "draft"
            _copy_invoice(row, theirs, subscription)
            session.add(row)
            await session.flush()
            if was_draft and row.status != "draft":
                told.append((facts.invoice_finalized(row, plan=plan), row.created_at))
            billed |= _billed(theirs, Billed.by(row, plan=plan))
        return told, billed


async def _tell(session: AsyncSession, user_id: str, told: list[Dated]) -> None:
    for message, time in told:
        await outbox.add(session, models.outbox, events.event(message, source="billing", about=user_id, time=time))


def _copy_invoice(row: Invoice, theirs: stripe.Invoice, subscription: Subscription | None) -> None:
    lines = theirs.lines.data
    row.subscription_id = subscription.id if subscription else None
    row.number = theirs.number or ""
    row.status = theirs.status or "draft"
    row.currency = theirs.currency
    row.total_minor = theirs.total
    row.tax_minor = sum(tax.amount for tax in theirs.total_taxes or ())
    row.amount_due_minor = theirs.amount_remaining
    row.hosted_url = theirs.hosted_invoice_url or ""
    # The invoice's own period is when its items were collected; what it pays for stands in its lines.
    row.period_start = _moment(min((line.period.start for line in lines), default=theirs.period_start))
    row.period_end = _moment(max((line.period.end for line in lines), default=theirs.period_end))
    row.created_at = _moment(theirs.created)


def _billed(theirs: stripe.Invoice, billed: Billed) -> dict[str, Billed]:
    """What the invoice's payments were for, by Stripe's ids of them."""
    intents = [each.payment.payment_intent for each in theirs.payments.data] if theirs.payments else []
    return {intent if isinstance(intent, str) else intent.id: billed for intent in intents if intent}


def _subscription_of(invoice: stripe.Invoice) -> str:
    details = invoice.parent.subscription_details if invoice.parent else None
    if details is None:
        return ""
    return details.subscription if isinstance(details.subscription, str) else details.subscription.id


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
