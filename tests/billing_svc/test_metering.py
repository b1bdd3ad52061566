"""What chat's work used counts once, and what is beyond the plan stands on the next invoice, once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.events.v1 import events_pb2 as ev

from billing_svc import usage_store
from svckit import events, postgres
from svckit.errors import Aborted, Unavailable
from svckit.events import Bus
from svckit.ids import new_id
from svckit.local import Engines
from svckit.postgres import Database
from tests.billing_svc.administrator import Administrator
from tests.billing_svc.conftest import Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.billing_svc.travel import DAY, Travel
from tests.callers import refusal
from tests.waiting import until

_ALL_TRIES = 3
_EACH_TIME = 1000


@pytest.fixture(scope="module")
async def bus(engines: Engines) -> AsyncIterator[Bus]:
    async with events.connected(engines.nats_url) as connected:
        await connected.jetstream()
        yield connected


async def _use(
    bus: Bus,
    customer: Customer,
    tokens: int,
    *,
    at: datetime,
    work_id: str = "",
    copies: int = 1,
    meter: ev.Meter.ValueType = ev.METER_TOKENS,
) -> None:
    """Chat tells of work; each copy is an event of its own."""
    usage = ev.UsageRecorded(user_id=customer.id, work_id=work_id or new_id(), meter=meter, quantity=tokens, plan="pro")
    told = [events.event(usage, source="chat", about=customer.id, time=at) for _ in range(copies)]
    assert not [failure for failure in await bus.publish_all(told) if failure]


async def _usage(customer: Customer) -> pb.GetBillingUsageResponse:
    return await customer.stub.GetBillingUsage(pb.GetBillingUsageRequest(), metadata=customer.metadata)


async def _until_used(customer: Customer, tokens: int) -> pb.GetBillingUsageResponse:
    async def used() -> bool:
        return (await _usage(customer)).tokens_used == tokens

    await until(used)
    return await _usage(customer)


async def test_work_counts_once_and_costs_each_thousand_beyond_but_titles_are_ours(
    bus: Bus, customer: Customer
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)  # Stripe's periods begin at whole seconds
    await _use(bus, customer, 30, at=before, meter=ev.METER_TITLE_TOKENS)
    await _use(bus, customer, 700, at=before, work_id=f"before-{customer.id}", copies=2)
    free = await _until_used(customer, 700)
    subscription = await customer.subscribe("pro")
    at = subscription.current_period_start_time.ToDatetime(tzinfo=UTC) + timedelta(seconds=1)
    await asyncio.gather(
        _use(bus, customer, 2_000_000, at=at), _use(bus, customer, 1001, at=at, work_id=f"{customer.id}-1", copies=5)
    )
    await _use(bus, customer, 1001, at=at, work_id=f"{customer.id}-1")
    used = await _until_used(customer, 2_001_001)

    assert (free.tokens_included, free.tokens_overage, free.overage_amount.amount_minor) == (50_000, 0, 0)
    assert free.period_start_time.ToDatetime().day == 1
    assert (used.tokens_included, used.tokens_overage) == (2_000_000, 1001)
    assert (used.overage_amount.amount_minor, used.overage_amount.currency) == (4, "usd")
    assert used.period_end_time == subscription.current_period_end_time


@pytest.mark.parametrize(
    ("currency", "price", "overage"),
    [("usd", 2000, 8), ("kwd", 6150, 20)],  # 4 thousand at 0.006 dinars each: Stripe charges tens only
)
async def test_overage_stands_on_the_next_invoice_once_and_what_comes_late_counts_in_the_next_period(
    bus: Bus,
    customer: Customer,
    administrator: Administrator,
    stripe_side: StripeSide,
    currency: str,
    price: int,
    overage: int,
) -> None:
    subscription = await customer.subscribe("pro", currency=currency)
    start, end = (
        moment.ToDatetime(tzinfo=UTC)
        for moment in (subscription.current_period_start_time, subscription.current_period_end_time)
    )
    await _use(bus, customer, 2_003_500, at=start + timedelta(seconds=1))
    await _until_used(customer, 2_003_500)
    await stripe_side.spoil("/v1/invoiceitems", "drop", times=_ALL_TRIES)
    await stripe_side.pass_time(customer.id, int((end + timedelta(hours=2)).timestamp()))
    await administrator.reconcile(user_id=customer.id)
    (item,) = await until(lambda: _items(stripe_side, customer))
    await _use(bus, customer, 300, at=start + timedelta(seconds=2))
    late = await _until_used(customer, 300)
    third = end + timedelta(days=31)
    await stripe_side.pass_time(customer.id, int((third + timedelta(days=1)).timestamp()))
    await administrator.reconcile(user_id=customer.id)

    assert (item.amount, item.currency, item.description) == (overage, currency, "3,500 tokens beyond the plan")
    assert late.period_start_time == subscription.current_period_end_time
    assert len(await _items(stripe_side, customer)) == 1
    invoices = (await customer.invoices()).invoices
    assert [each.total.amount_minor for each in invoices] == [price + overage, price, price]


async def test_what_was_used_between_two_subscriptions_counts_in_neither(
    bus: Bus, billing: Billing, customer: Customer, stripe_side: StripeSide
) -> None:
    travel = Travel(billing, stripe_side, customer)
    first = await customer.subscribe("pro")
    await customer.cancel(first, now=True)
    await travel.advance(DAY)
    second = await customer.subscribe("team")
    begun = second.current_period_start_time.ToDatetime(tzinfo=UTC)
    await _use(bus, customer, 700, at=begun - timedelta(hours=1))
    await _use(bus, customer, 5, at=begun + timedelta(seconds=1))
    used = await _until_used(customer, 5)

    assert used.tokens_included == 10_000_000


async def test_an_upgrade_takes_overage_along_only_if_its_preview_said_so(
    bus: Bus, customer: Customer, administrator: Administrator, stripe_side: StripeSide, database: Database
) -> None:
    subscription = await customer.subscribe("pro")
    await _overuse(bus, customer, subscription)
    await stripe_side.spoil("/v1/invoiceitems", "busy", times=_EACH_TIME)
    await _end_period(stripe_side, customer, subscription)
    await administrator.reconcile(user_id=customer.id)

    async def billing_is(status: str) -> bool:
        async with database.transaction() as session:
            return status in (await usage_store.overages(session, customer.id)).values()

    await until(lambda: billing_is(usage_store.BEGUN))
    without = await customer.preview(subscription, "team")
    promised = await refusal(customer.update(subscription, "team", preview_token=without.preview_token))
    unasked = await refusal(customer.update(subscription, "team"))
    await stripe_side.mend("busy")
    await until(lambda: billing_is(usage_store.BILLED))
    late = await refusal(customer.update(subscription, "team", preview_token=without.preview_token))
    with_overage = await customer.preview(subscription, "team")
    after = await customer.update(subscription, "team", preview_token=with_overage.preview_token)

    for refused in (promised, late):
        assert (type(refused), refused.reason) == (Aborted, "PREVIEW_EXPIRED")
    assert (type(unasked), unasked.reason) == (Aborted, "CHANGE_IN_PROGRESS")
    assert [line.amount.amount_minor for line in with_overage.lines][-1:] == [8]
    assert after.plan_id == "team"
    newest, *_ = (await customer.invoices()).invoices
    assert newest.total == with_overage.amount_due


async def test_overage_waits_while_a_change_that_was_promised_is_made(
    bus: Bus, billing: Billing, customer: Customer, administrator: Administrator, stripe_side: StripeSide, alone: None
) -> None:
    """The period ends at Stripe; we hear of it only when the upgrade's amount has been checked, and Stripe is busy."""
    subscription = await customer.subscribe("pro")
    witness = billing.customer()
    theirs = await witness.subscribe("pro")
    await asyncio.gather(_overuse(bus, customer, subscription), _overuse(bus, witness, theirs))
    await _end_period(stripe_side, customer, subscription)
    await _end_period(stripe_side, witness, theirs)
    (at_stripe,) = await stripe_side.subscriptions(customer.id)
    preview = await customer.preview(subscription, "team")
    change = {"preview_token": preview.preview_token, "idempotency_key": "once"}
    await stripe_side.spoil(f"/v1/subscriptions/{at_stripe.id}", "busy", times=_ALL_TRIES)
    unsure = await refusal(customer.update(subscription, "team", **change))

    await administrator.reconcile(user_id=customer.id)
    await administrator.reconcile(user_id=witness.id)
    await until(lambda: _items(stripe_side, witness))
    after = await customer.update(subscription, "team", **change)
    (item,) = await until(lambda: _items(stripe_side, customer))

    assert type(unsure) is Unavailable
    assert after.plan_id == "team"
    newest, *_ = (await customer.invoices()).invoices
    assert (newest.total, item.amount, item.invoice) == (preview.amount_due, 8, None)


@pytest.fixture
async def alone(database: Database) -> AsyncIterator[None]:
    """Nobody compares rows with Stripe's but who is asked to."""
    async with database.dedicated() as connection:
        await postgres.hold(connection, "billing:reconcile")
        yield


async def _overuse(bus: Bus, customer: Customer, subscription: pb.Subscription) -> None:
    """Use 3,500 tokens more than the plan includes."""
    begun = subscription.current_period_start_time.ToDatetime(tzinfo=UTC)
    await _use(bus, customer, 2_003_500, at=begun + timedelta(seconds=1))
    await _until_used(customer, 2_003_500)


async def _end_period(stripe_side: StripeSide, customer: Customer, subscription: pb.Subscription) -> None:
    """Have the next period begin at Stripe, which tells nobody."""
    await stripe_side.pass_time(customer.id, subscription.current_period_end_time.seconds + 2 * 60 * 60)


async def _items(stripe_side: StripeSide, customer: Customer) -> list[stripe.InvoiceItem]:
    (theirs,) = await stripe_side.customers(customer.id)
    return (await stripe_side.client.v1.invoice_items.list_async({"customer": theirs})).data
