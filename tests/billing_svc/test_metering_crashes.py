"""Usage and its overage when the process is killed: counted once, and invoiced once, never twice and never not."""

from datetime import UTC, timedelta

import pytest
from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.events.v1 import events_pb2 as ev
from sqlalchemy import func, select

from billing_svc.models import UsagePeriod
from billing_svc.settings import BillingSettings
from svckit import events, postgres
from svckit.events import Bus
from svckit.ids import new_id
from svckit.postgres import Database
from tests.billing_svc.conftest import Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.process import apart, restart
from tests.billing_svc.stripe_side import StripeSide
from tests.waiting import until

_PIECES, _TOKENS = 50, 40_070  # together 3,500 beyond what the plan includes
_ITEMS = "/v1/invoiceitems"


@pytest.mark.timeout(300)  # seconds; four starts of a process on a busy machine
async def test_usage_is_invoiced_once_although_the_process_is_killed_while_it_counts_and_while_it_bills(
    alone: BillingSettings, stripe_side: StripeSide
) -> None:
    """Of a period that is closed: killed before Stripe has its item, and after that. Or Stripe fails by itself."""
    async with (
        apart(alone) as (process, billing),
        postgres.connected(str(alone.database_url)) as database,
        events.connected(alone.nats_url) as bus,
    ):
        bought = [(each, await each.subscribe("pro")) for each in (billing.customer() for _ in range(3))]
        for customer, subscription in bought:
            await _work(bus, customer, subscription)
        await restart(process, billing)
        for effect, (customer, subscription) in zip(("stall", "hold", "fail"), bought, strict=True):
            await _until_counted(customer)
            await stripe_side.spoil(_ITEMS, effect)
            await _renew(billing, stripe_side, customer, subscription)
            await _until_struck(stripe_side)
            if effect != "fail":
                await restart(process, billing)
            await _until_billed(database, customer)

        for customer, subscription in bought:
            await _renew(billing, stripe_side, customer, subscription, later=timedelta(days=32))
            invoices = (await customer.invoices()).invoices
            assert [each.total.amount_minor for each in invoices] == [2000 + 4 * 2, 2000, 2000]


async def _work(bus: Bus, customer: Customer, subscription: pb.Subscription) -> None:
    """Chat tells of each piece of work twice."""
    at = subscription.current_period_start_time.ToDatetime(UTC) + timedelta(seconds=1)
    pieces = [
        ev.UsageRecorded(user_id=customer.id, work_id=new_id(), meter=ev.METER_TOKENS, quantity=_TOKENS, plan="pro")
        for _ in range(_PIECES)
    ]
    told = [events.event(each, source="chat", about=customer.id, time=at) for each in pieces * 2]
    assert not [failure for failure in await bus.publish_all(told) if failure]


async def _renew(
    billing: Billing,
    stripe_side: StripeSide,
    customer: Customer,
    subscription: pb.Subscription,
    *,
    later: timedelta = timedelta(hours=2),
) -> None:
    """So long after the end of the first period, and the service hears of it."""
    end = subscription.current_period_end_time.seconds
    await stripe_side.pass_time(customer.id, end + int(later.total_seconds()))
    await billing.administrator().reconcile(user_id=customer.id)


async def _until_counted(customer: Customer) -> None:
    async def counted() -> bool:
        usage = await customer.stub.GetBillingUsage(pb.GetBillingUsageRequest(), metadata=customer.metadata)
        return usage.tokens_used == _PIECES * _TOKENS

    await until(counted)


async def _until_struck(stripe_side: StripeSide) -> None:
    async def struck() -> bool:
        return _ITEMS not in await stripe_side.faults()

    await until(struck)


async def _until_billed(database: Database, customer: Customer) -> None:
    """Until the service itself holds it to be done."""
    billed = select(func.count()).where(UsagePeriod.user_id == customer.id, UsagePeriod.status == "billed")

    async def done() -> bool:
        async with database.transaction() as session:
            return bool(await session.scalar(billed))

    await until(done)
