"""A crash or a lost answer at any step of subscribing ends in one subscription, or in none: never in two."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.events.v1 import events_pb2 as ev
from sqlalchemy import select, update

from billing_svc.models import Customer as CustomerRow
from billing_svc.models import Subscription
from billing_svc.settings import BillingSettings
from svckit import events, postgres
from svckit.errors import AlreadyExists, Unavailable
from svckit.postgres import Database
from svckit.rpc.status import received
from tests.billing_svc.conftest import Billing, Start
from tests.billing_svc.customer import Customer
from tests.billing_svc.process import apart, restart
from tests.billing_svc.stripe_side import StripeSide
from tests.billing_svc.test_events import heard
from tests.billing_svc.travel import Travel
from tests.callers import refusal
from tests.waiting import until

_POSTS = ["/v1/customers", "/v1/payment_methods/pm_card_visa/attach", "/v1/subscriptions"]
# The SDK asks three times before it gives up.
_ALL_TRIES = 3


async def _until_subscribed(customer: Customer) -> pb.Subscription:
    return (await until(customer.subscriptions))[0]


@pytest.mark.parametrize("path", _POSTS)
async def test_one_lost_answer_is_not_noticed(customer: Customer, stripe_side: StripeSide, path: str) -> None:
    await stripe_side.spoil(path, "drop")

    made = await customer.subscribe("pro")

    assert made.status == pb.SUBSCRIPTION_STATUS_ACTIVE
    assert len(await stripe_side.customers(customer.id)) == 1
    assert len(await stripe_side.subscriptions(customer.id)) == 1


@pytest.mark.parametrize("path", _POSTS)
async def test_an_open_outcome_is_settled_by_the_next_start(
    start: Start, customer: Customer, stripe_side: StripeSide, path: str
) -> None:
    await stripe_side.spoil(path, "drop", times=_ALL_TRIES)
    asked = await refusal(customer.subscribe("pro"))

    async with start() as restarted:
        made = await _until_subscribed(Customer(restarted.stub, customer.id))

    assert isinstance(asked, Unavailable)
    assert made.status == pb.SUBSCRIPTION_STATUS_ACTIVE
    assert len(await stripe_side.customers(customer.id)) == 1
    assert [each.metadata["subscription_id"] for each in await stripe_side.subscriptions(customer.id)] == [made.id]
    assert len((await customer.invoices()).invoices) == 1
    assert (await customer.entitlements()).version == 1


@pytest.mark.parametrize("path", _POSTS)
async def test_an_open_outcome_is_settled_by_a_repeat_with_the_same_key(
    customer: Customer, stripe_side: StripeSide, path: str
) -> None:
    await stripe_side.spoil(path, "drop", times=_ALL_TRIES)
    await refusal(customer.subscribe("pro", idempotency_key="once"))

    made = await customer.subscribe("pro", idempotency_key="once")

    assert made.status == pb.SUBSCRIPTION_STATUS_ACTIVE
    assert len(await stripe_side.customers(customer.id)) == 1
    assert len(await stripe_side.subscriptions(customer.id)) == 1


async def test_a_failure_that_stripe_would_repeat_for_ever_is_overcome(
    customer: Customer, stripe_side: StripeSide
) -> None:
    """Stripe keeps its own 500 with the key, so the next attempt needs another key, and a look whether it is there."""
    await stripe_side.spoil("/v1/subscriptions", "fail")
    failed = await refusal(customer.subscribe("pro", idempotency_key="once"))

    made = await customer.subscribe("pro", idempotency_key="once")

    assert isinstance(failed, Unavailable)
    assert made.status == pb.SUBSCRIPTION_STATUS_ACTIVE
    assert len(await stripe_side.subscriptions(customer.id)) == 1


async def test_what_nobody_waits_for_any_more_is_not_made(
    start: Start, database: Database, customer: Customer, stripe_side: StripeSide
) -> None:
    await stripe_side.spoil("/v1/subscriptions", "fail")
    await refusal(customer.subscribe("pro"))
    async with database.transaction() as session:
        late = update(Subscription).where(Subscription.user_id == customer.id)
        await session.execute(late.values(created_at=Subscription.created_at - timedelta(minutes=11)))

    async with start() as restarted:
        again = await until(lambda: _subscribed(Customer(restarted.stub, customer.id), "team"))

    assert again.plan_id == "team"
    assert len(await stripe_side.subscriptions(customer.id)) == 1


async def _subscribed(customer: Customer, plan_id: str) -> pb.Subscription | None:
    """A new subscription; none while another one is in its way."""
    try:
        return await customer.subscribe(plan_id)
    except grpc.aio.AioRpcError as error:
        if isinstance(received(error), AlreadyExists):
            return None
        raise


async def test_a_process_that_is_killed_while_stripe_works_leaves_one_subscription(
    settings: BillingSettings, start: Start, stripe_side: StripeSide
) -> None:
    """Killed after Stripe has committed and before the answer came, at each of the calls that create something."""
    async with apart(settings) as (process, billing):
        customers, asking = [billing.customer() for _ in _POSTS[:2]], []
        for customer, path in zip(customers, _POSTS[:2], strict=True):
            await stripe_side.spoil(path, "hold")
            asking.append(asyncio.create_task(customer.subscribe("pro")))
            await _held(stripe_side, path)
        await process.kill()
        await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(each.exception(), grpc.aio.AioRpcError) for each in asking)

    async with start() as restarted:
        for customer in customers:
            again = Customer(restarted.stub, customer.id)
            made = await _until_subscribed(again)

            assert made.status == pb.SUBSCRIPTION_STATUS_ACTIVE
            assert len(await stripe_side.customers(customer.id)) == 1
            assert len(await stripe_side.subscriptions(customer.id)) == 1
            assert len((await again.invoices()).invoices) == 1


@pytest.mark.parametrize("step", ["asked", "made", "answered"])
async def test_one_that_is_killed_while_it_subscribes_and_changes_a_plan_does_each_once(
    settings: BillingSettings, billing: Billing, start: Start, database: Database, stripe_side: StripeSide, step: str
) -> None:
    """Killed with our row there: before Stripe has done it, after that, and before our own commit."""
    new, old = billing.customer(), billing.customer()
    before = await old.subscribe("pro")
    await refusal(new.subscribe("pro", payment_method="pm_card_chargeDeclined"))  # Stripe knows them from now on
    change = f"/v1/subscriptions/{(await stripe_side.subscriptions(old.id))[0].id}"
    async with apart(settings) as (process, doomed), _locked(database, new.id, old.id, at_all=step == "answered"):
        if step != "answered":
            for path in ("/v1/subscriptions", change):
                await stripe_side.spoil(path, "stall" if step == "asked" else "hold")
        asking = [
            asyncio.create_task(Customer(doomed.stub, new.id).subscribe("pro")),
            asyncio.create_task(Customer(doomed.stub, old.id).update(before, "team")),
        ]
        if step == "answered":
            await until(lambda: _has(stripe_side, new.id, 2000))
            await until(lambda: _has(stripe_side, old.id, 5000))
        else:
            await _held(stripe_side, "/v1/subscriptions")
            await _held(stripe_side, change)
        await process.kill()
        await asyncio.gather(*asking, return_exceptions=True)

    async with start():
        made = await _until_subscribed(new)

        async def changed() -> bool:
            return (await old.subscription(before.id)).plan_id == "team"

        await until(changed)

    assert made.status == pb.SUBSCRIPTION_STATUS_ACTIVE
    assert len(await stripe_side.subscriptions(new.id)) == len(await stripe_side.subscriptions(old.id)) == 1
    assert [len((await each.invoices()).invoices) for each in (new, old)] == [1, 2]
    assert [(await each.entitlements()).plan_id for each in (new, old)] == ["pro", "team"]


async def test_one_that_is_killed_while_it_cancels_ends_what_stripe_has_ended_and_nothing_else(
    settings: BillingSettings, billing: Billing, stripe_side: StripeSide
) -> None:
    """Killed before Stripe has done it, when asking again does it, and after that, when a webhook brings it."""
    kept, ended = billing.customer(), billing.customer()
    made = {each.id: await each.subscribe("pro") for each in (kept, ended)}
    async with apart(settings) as (process, doomed):
        asking = []
        for customer, effect in ((kept, "stall"), (ended, "hold")):
            path = f"/v1/subscriptions/{(await stripe_side.subscriptions(customer.id))[0].id}"
            await stripe_side.spoil(path, effect)
            asking.append(asyncio.create_task(Customer(doomed.stub, customer.id).cancel(made[customer.id], now=True)))
            await _held(stripe_side, path)
        await process.kill()
        await asyncio.gather(*asking, return_exceptions=True)
    before = await kept.subscription(made[kept.id].id)
    await Travel(billing, stripe_side, ended).tell()

    async def told() -> pb.Subscription | None:
        found = await ended.subscription(made[ended.id].id)
        return found if found.status == pb.SUBSCRIPTION_STATUS_CANCELED else None

    await until(told)
    again = await kept.cancel(made[kept.id], now=True)

    assert (before.status, again.status) == (pb.SUBSCRIPTION_STATUS_ACTIVE, pb.SUBSCRIPTION_STATUS_CANCELED)
    assert [(await each.entitlements()).plan_id for each in (kept, ended)] == ["free", "free"]
    assert [len((await each.invoices()).invoices) for each in (kept, ended)] == [1, 1]


async def test_one_that_is_killed_while_a_trial_becomes_paid_for_tells_of_it_once(
    alone: BillingSettings, stripe_side: StripeSide
) -> None:
    """Killed between the webhook, which it has answered, and its own commit."""
    async with (
        apart(alone) as (process, billing),
        postgres.connected(str(alone.database_url)) as database,
        events.connected(alone.nats_url) as bus,
    ):
        customer, administrator = billing.customer(), billing.administrator()
        made = await customer.subscribe("pro", trial=True, payment_method="pm_card_visa")
        (theirs,) = await stripe_side.customers(customer.id)

        async def begun() -> Sequence[pb.StripeEvent]:
            return (await administrator.webhooks(customer=theirs, status="failed")).events

        async def paid() -> bool:
            return (await customer.subscription(made.id)).status == pb.SUBSCRIPTION_STATUS_ACTIVE

        async with _locked(database, customer.id, at_all=True):
            await Travel(billing, stripe_side, customer).to_the_end_of(made)
            (webhook,) = await until(begun)
            assert not await paid()
            await process.kill()
        await restart(process, billing)
        await administrator.replay(webhook.id)
        await until(paid)
        await customer.cancel(made, now=True)
        told = await heard(bus, customer.id, last=ev.SubscriptionCancelled)
        invoices = (await customer.invoices()).invoices

    assert [each.total.amount_minor for each in invoices] == [2000, 0]
    assert len(await stripe_side.payments(customer.id)) == 1
    assert Counter(type(each) for each in told if not isinstance(each, ev.EntitlementsChanged)) == Counter(
        {
            ev.SubscriptionCreated: 1,
            ev.InvoiceFinalized: 2,
            ev.SubscriptionChanged: 1,
            ev.PaymentSucceeded: 1,
            ev.SubscriptionCancelled: 1,
        }
    )


async def _has(stripe_side: StripeSide, user_id: str, amount: int) -> bool:
    """Whether Stripe has that user subscribed at that price."""
    found = await stripe_side.subscriptions(user_id)
    return bool(found and found[0].items.data[0].price.unit_amount == amount)


@asynccontextmanager
async def _locked(database: Database, *user_ids: str, at_all: bool) -> AsyncIterator[None]:
    """Keep everybody from following Stripe for those customers."""
    async with database.transaction() as session:
        if at_all:
            rows = select(CustomerRow).where(CustomerRow.user_id.in_(user_ids))
            await session.execute(rows.with_for_update(key_share=True))
        yield


async def _held(stripe_side: StripeSide, path: str) -> None:
    """Wait until the answer to that path is being held back: then the fault is no longer waiting."""

    async def held() -> bool:
        return path not in await stripe_side.faults()

    await until(held)
