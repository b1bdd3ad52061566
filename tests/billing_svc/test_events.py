"""What the rest of the mesh hears of a subscription: once, and with its own numbers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any

import pytest
from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.events.v1 import events_pb2 as ev
from google.protobuf.message import Message

from svckit import events
from svckit.errors import InvalidArgument
from svckit.events import Bus, Event, received, unpack
from svckit.local import Engines
from tests.billing_svc.administrator import Administrator
from tests.billing_svc.conftest import Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.billing_svc.travel import DAY, Travel
from tests.callers import refusal
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
async def bus(engines: Engines) -> AsyncIterator[Bus]:
    async with events.connected(engines.nats_url) as connected:
        yield connected


async def heard(bus: Bus, user_id: str, *, last: type[Message], times: int = 1) -> list[Message]:
    return [unpack(event) for event in await heard_events(bus, user_id, last=last, times=times)]


async def heard_events(bus: Bus, user_id: str, *, last: type[Message], times: int = 1) -> list[Event]:
    """What was published about the user, until there were so many events of the kind `last`."""
    subscription = await (await bus.jetstream()).subscribe("ev.billing.>", ordered_consumer=True)
    found: list[Event] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while sum(each.type == last.DESCRIPTOR.full_name for each in found) < times:
                event = received(await subscription.next_msg(timeout=PATIENCE))
                found += [event] if event.about == user_id else []
    finally:
        await subscription.unsubscribe()
    return found


async def test_a_subscription_is_told_with_its_revenue_its_payment_and_its_rights(bus: Bus, customer: Customer) -> None:
    made = await customer.subscribe("pro")
    invoice = (await customer.invoices()).invoices[0]

    created, finalized, paid, rights = await heard(bus, customer.id, last=ev.EntitlementsChanged)

    assert created == ev.SubscriptionCreated(
        user_id=customer.id,
        subscription_id=made.id,
        plan="pro",
        interval=ev.BILLING_INTERVAL_MONTH,
        status=ev.SUBSCRIPTION_STATUS_ACTIVE,
        currency="USD",
        mrr_before_minor=0,
        mrr_after_minor=2000,
    )
    assert isinstance(finalized, ev.InvoiceFinalized)
    assert (finalized.invoice_id, finalized.number, finalized.amount_minor) == (invoice.id, invoice.number, 2000)
    assert isinstance(paid, ev.PaymentSucceeded)
    assert (paid.invoice_id, paid.subscription_id, paid.plan) == (invoice.id, made.id, "pro")
    assert (paid.amount_minor, paid.currency, paid.tax_minor) == (2000, "USD", 0)
    assert paid.payment_id
    assert isinstance(rights, ev.EntitlementsChanged)
    assert (rights.plan, rights.version, rights.status) == ("pro", 1, ev.SUBSCRIPTION_STATUS_ACTIVE)
    assert rights.limits.tokens_per_period == 2_000_000
    assert rights.limits.overage
    assert rights.valid_until == made.current_period_end_time


async def test_a_year_counts_as_a_twelfth_each_month(bus: Bus, customer: Customer) -> None:
    await customer.subscribe("pro", interval=pb.INTERVAL_YEAR)

    created, *_, rights = await heard(bus, customer.id, last=ev.EntitlementsChanged)

    assert isinstance(created, ev.SubscriptionCreated)
    assert created.mrr_after_minor == 1667
    assert isinstance(rights, ev.EntitlementsChanged)
    assert rights.limits.tokens_per_period == 12 * 2_000_000


async def test_a_coupon_that_comes_back_takes_off_revenue_for_as_long_as_it_does(
    bus: Bus, billing: Billing, stripe_side: StripeSide
) -> None:
    coupons = stripe_side.client.v1.coupons
    forever = (await coupons.create_async({"percent_off": 12.5, "duration": "forever"})).id
    month: Any = {"amount_off": 500, "currency": "usd", "duration": "repeating", "duration_in_months": 1}
    for_a_month = (await coupons.create_async(month)).id
    once = (await coupons.create_async({"percent_off": 50, "duration": "once"})).id
    yearly, monthly, first = billing.customer(), billing.customer(), billing.customer()

    await yearly.subscribe("pro", interval=pb.INTERVAL_YEAR, coupon=forever)
    made = await monthly.subscribe("pro", coupon=for_a_month)
    await first.subscribe("pro", coupon=once)
    await Travel(billing, stripe_side, monthly).to_the_end_of(made)

    (of_a_year, *_), (of_the_first, *_) = await asyncio.gather(
        heard(bus, yearly.id, last=ev.SubscriptionCreated), heard(bus, first.id, last=ev.SubscriptionCreated)
    )
    (of_a_month, *_, changed) = await heard(bus, monthly.id, last=ev.SubscriptionChanged)
    for created, mrr in ((of_a_year, 1458), (of_the_first, 2000), (of_a_month, 1500)):
        assert isinstance(created, ev.SubscriptionCreated)
        assert created.mrr_after_minor == mrr
    assert isinstance(changed, ev.SubscriptionChanged)
    assert (changed.plan_before, changed.plan_after) == ("pro", "pro")
    assert (changed.mrr_before_minor, changed.mrr_after_minor) == (1500, 2000)


async def test_the_end_is_told_with_its_reason(bus: Bus, billing: Billing, stripe_side: StripeSide) -> None:
    leaver, quitter, late, absent = (billing.customer() for _ in range(4))
    leaving, quitting, owing = [await each.subscribe("pro") for each in (leaver, quitter, late)]
    await absent.subscribe("pro", payment_method="pm_card_authenticationRequired")
    unheard = await refusal(leaver.cancel(leaving, feedback="bored"))

    await leaver.cancel(leaving, feedback="too_expensive")
    await Travel(billing, stripe_side, leaver).to_the_end_of(leaving)
    await quitter.cancel(quitting, now=True, feedback="other")
    time = Travel(billing, stripe_side, late)
    await time.pay_with("pm_card_chargeCustomerFail")
    await time.to_the_end_of(owing)
    await time.advance(16 * DAY)
    await Travel(billing, stripe_side, absent).advance(DAY)

    told = []
    for who in (leaver, quitter, late, absent):
        (*_, ended) = await heard(bus, who.id, last=ev.SubscriptionCancelled)
        assert isinstance(ended, ev.SubscriptionCancelled)
        told.append((ended.reason, ended.feedback))
    assert told == [
        (ev.CANCELLATION_REASON_REQUESTED, "too_expensive"),
        (ev.CANCELLATION_REASON_REQUESTED, "other"),
        (ev.CANCELLATION_REASON_PAYMENT_FAILED, ""),
        (ev.CANCELLATION_REASON_PAYMENT_FAILED, ""),
    ]
    assert (type(unheard), unheard.violations[0].field) == (InvalidArgument, "feedback")


async def test_money_is_told_for_the_moment_that_stripe_booked_it(bus: Bus, customer: Customer) -> None:
    await customer.subscribe("pro")
    invoice = (await customer.invoices()).invoices[0]

    told = await heard_events(bus, customer.id, last=ev.PaymentSucceeded)

    booked = {event.subject: event.time for event in told}
    assert booked["ev.billing.invoice.finalized"] == invoice.create_time.ToDatetime(UTC)
    assert booked["ev.billing.payment.succeeded"] == invoice.create_time.ToDatetime(UTC)


async def test_money_that_came_did_not_come_or_went_back_is_told_once(
    bus: Bus, customer: Customer, administrator: Administrator
) -> None:
    await refusal(customer.pay(700, payment_method="pm_card_chargeDeclinedInsufficientFunds"))
    made = await customer.pay(1500)
    refund = (await administrator.refund(made.id, 400, reason="duplicate")).refund
    await administrator.reconcile(user_id=customer.id)

    failed, paid, refunded = await heard(bus, customer.id, last=ev.PaymentRefunded)

    assert isinstance(failed, ev.PaymentFailed)
    assert (failed.amount_minor, failed.error_code) == (700, "insufficient_funds")
    assert paid == ev.PaymentSucceeded(user_id=customer.id, payment_id=made.id, currency="USD", amount_minor=1500)
    assert refunded == ev.PaymentRefunded(
        user_id=customer.id,
        refund_id=refund.id,
        payment_id=made.id,
        currency="USD",
        amount_minor=400,
        reason=ev.REFUND_REASON_DUPLICATE,
    )
