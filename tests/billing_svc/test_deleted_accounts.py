"""What becomes of a subscription when auth tells that the account was deleted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.events.v1 import events_pb2 as ev
from sqlalchemy import select

from billing_svc.models import Customer as Row
from svckit import events
from svckit.errors import Unauthenticated, Unavailable
from svckit.events import Bus
from svckit.local import Engines
from svckit.postgres import Database
from tests.billing_svc.conftest import Start
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.billing_svc.test_events import heard
from tests.callers import refusal
from tests.waiting import until


@pytest.fixture(scope="module")
async def bus(engines: Engines) -> AsyncIterator[Bus]:
    async with events.connected(engines.nats_url) as connected:
        await connected.jetstream()
        yield connected


async def tell_deleted(bus: Bus, customer: Customer) -> None:
    """As auth tells it."""
    message = ev.UserDeleted(user_id=customer.id)
    await bus.publish(events.event(message, source="auth", about=customer.id, time=datetime.now(UTC)))


async def closed(database: Database, customer: Customer) -> None:
    """Wait until billing has done all that is to be done."""

    async def done() -> datetime | None:
        async with database.transaction() as session:
            return await session.scalar(select(Row.closed_at).where(Row.user_id == customer.id))

    await until(done)


async def test_its_subscription_ends_at_once_and_its_invoices_stay(
    bus: Bus, customer: Customer, database: Database, stripe_side: StripeSide
) -> None:
    made = await customer.subscribe("pro")

    await tell_deleted(bus, customer)
    await closed(database, customer)

    assert [each.status for each in await stripe_side.subscriptions(customer.id)] == ["canceled"]
    assert (await customer.subscription(made.id)).status == pb.SUBSCRIPTION_STATUS_CANCELED
    assert (await customer.entitlements()).plan_id == "free"
    assert len((await customer.invoices()).invoices) == 1


async def test_the_end_is_told_once(bus: Bus, customer: Customer, database: Database) -> None:
    made = await customer.subscribe("pro")

    await tell_deleted(bus, customer)
    await tell_deleted(bus, customer)
    await closed(database, customer)

    *_, rights, cancelled, free = await heard(bus, customer.id, last=ev.EntitlementsChanged, times=2)
    assert isinstance(cancelled, ev.SubscriptionCancelled)
    assert (cancelled.subscription_id, cancelled.mrr_before_minor, cancelled.mrr_after_minor) == (made.id, 2000, 0)
    assert cancelled.reason == ev.CANCELLATION_REASON_USER_DELETED
    assert isinstance(rights, ev.EntitlementsChanged)
    assert isinstance(free, ev.EntitlementsChanged)
    assert (rights.plan, free.plan) == ("pro", "free")


@pytest.mark.parametrize("key", ["", "once"])
async def test_a_token_that_is_still_good_buys_nothing(
    bus: Bus, customer: Customer, database: Database, stripe_side: StripeSide, key: str
) -> None:
    await tell_deleted(bus, customer)
    await closed(database, customer)

    error = await refusal(customer.subscribe("pro", idempotency_key=key))

    assert (type(error), error.reason) == (Unauthenticated, "TOKEN_INVALID")
    assert await stripe_side.customers(customer.id) == []


@pytest.mark.parametrize(("effect", "times", "left"), [("drop", 3, ["canceled"]), ("fail", 1, [])])
async def test_what_was_being_bought_is_ended_or_not_made(
    start: Start,
    bus: Bus,
    customer: Customer,
    database: Database,
    stripe_side: StripeSide,
    effect: str,
    times: int,
    left: list[str],
) -> None:
    """Its outcome was open when the account was deleted: Stripe had made it, or not."""
    await stripe_side.spoil("/v1/subscriptions", effect, times=times)
    assert isinstance(await refusal(customer.subscribe("pro")), Unavailable)
    await tell_deleted(bus, customer)

    async with start():  # whose first sweep looks at what was left
        await closed(database, customer)

    assert [each.status for each in await stripe_side.subscriptions(customer.id)] == left


async def test_a_lost_answer_does_not_keep_a_subscription_alive(
    bus: Bus, customer: Customer, database: Database, stripe_side: StripeSide
) -> None:
    await customer.subscribe("pro")
    (theirs,) = await stripe_side.subscriptions(customer.id)
    await stripe_side.spoil(f"/v1/subscriptions/{theirs.id}", "drop", times=3)

    await tell_deleted(bus, customer)
    await closed(database, customer)

    assert [each.status for each in await stripe_side.subscriptions(customer.id)] == ["canceled"]
