"""What chat's work used counts once, and what is beyond the plan stands on the next invoice, once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.events.v1 import events_pb2 as ev

from svckit import events
from svckit.events import Bus
from svckit.ids import new_id
from svckit.local import Engines
from tests.billing_svc.administrator import Administrator
from tests.billing_svc.conftest import Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.billing_svc.travel import DAY, Travel
from tests.waiting import until

_ALL_TRIES = 3


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


async def _items(stripe_side: StripeSide, customer: Customer) -> list[stripe.InvoiceItem]:
    (theirs,) = await stripe_side.customers(customer.id)
    return (await stripe_side.client.v1.invoice_items.list_async({"customer": theirs})).data
