"""What time does to a subscription, and what may be used meanwhile."""

from collections.abc import Awaitable, Callable

import pytest
from chatmesh.billing.v1 import billing_pb2 as pb

from svckit.errors import FailedPrecondition
from tests.billing_svc.conftest import Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.billing_svc.travel import DAY, Travel
from tests.callers import refusal
from tests.waiting import until


@pytest.fixture
def travel(billing: Billing, stripe_side: StripeSide, customer: Customer) -> Travel:
    return Travel(billing, stripe_side, customer)


def _in_status(
    customer: Customer, made: pb.Subscription, status: pb.SubscriptionStatus.ValueType
) -> Callable[[], Awaitable[pb.Subscription | None]]:
    async def seen() -> pb.Subscription | None:
        found = await customer.subscription(made.id)
        return found if found.status == status else None

    return seen


async def test_one_that_is_cancelled_gives_what_was_paid_for_and_then_nothing(
    customer: Customer, travel: Travel
) -> None:
    made = await customer.subscribe("pro")
    ending = await customer.cancel(made)
    during = await customer.entitlements()
    await travel.to_the_end_of(made)
    ended = await until(_in_status(customer, made, pb.SUBSCRIPTION_STATUS_CANCELED))
    after = await customer.entitlements()
    again = await customer.subscribe("team")

    assert (ending.status, ending.cancel_at_period_end) == (pb.SUBSCRIPTION_STATUS_ACTIVE, True)
    assert (during.plan_id, during.valid_until_time) == ("pro", made.current_period_end_time)
    assert ended.cancel_time.seconds < made.current_period_end_time.seconds
    assert (after.plan_id, after.version > during.version) == ("free", True)
    assert again.id != made.id


async def test_a_late_payment_keeps_the_plan_until_it_is_given_up(customer: Customer, travel: Travel) -> None:
    made = await customer.subscribe("pro")
    await travel.pay_with("pm_card_chargeCustomerFail")
    await travel.to_the_end_of(made)
    late = await until(_in_status(customer, made, pb.SUBSCRIPTION_STATUS_PAST_DUE))
    during = await customer.entitlements()
    dearer = await refusal(customer.update(made, "team"))
    await travel.advance(16 * DAY)
    await until(_in_status(customer, made, pb.SUBSCRIPTION_STATUS_CANCELED))

    assert during.plan_id == "pro"
    assert late.current_period_start_time == made.current_period_end_time
    assert (type(dearer), dearer.reason) == (FailedPrecondition, "NOT_CHANGEABLE")
    assert (await customer.entitlements()).plan_id == "free"


async def test_a_trial_gives_the_plan_once_and_pauses_without_a_card(
    billing: Billing, customer: Customer, travel: Travel
) -> None:
    made = await customer.subscribe("pro", trial=True)
    during = await customer.entitlements()
    await travel.to_the_end_of(made)
    await until(_in_status(customer, made, pb.SUBSCRIPTION_STATUS_PAUSED))
    after = await customer.entitlements()
    no_card = await refusal(customer.resume(made))
    await travel.pay_with("pm_card_visa")
    resumed = await customer.resume(made)
    await customer.cancel(resumed, now=True)
    second = await refusal(customer.subscribe("pro", trial=True))
    not_offered = await refusal(billing.customer().subscribe("team", trial=True))

    assert (made.status, made.trial_end_time) == (pb.SUBSCRIPTION_STATUS_TRIALING, made.current_period_end_time)
    assert made.trial_end_time.seconds - made.create_time.seconds in range(14 * DAY - 60, 14 * DAY + 60)
    assert (during.plan_id, after.plan_id) == ("pro", "free")
    assert (type(no_card), no_card.reason) == (FailedPrecondition, "PAYMENT_METHOD_MISSING")
    assert resumed.status == pb.SUBSCRIPTION_STATUS_ACTIVE
    assert (type(second), second.reason) == (FailedPrecondition, "TRIAL_USED")
    assert (type(not_offered), not_offered.reason) == (FailedPrecondition, "TRIAL_NOT_OFFERED")
    assert [invoice.total.amount_minor for invoice in (await customer.invoices()).invoices] == [2000, 0]


async def test_a_first_payment_that_nobody_confirms_expires_and_makes_room(customer: Customer, travel: Travel) -> None:
    made = await customer.subscribe("pro", payment_method="pm_card_authenticationRequired")
    await travel.advance(DAY)
    expired = await until(_in_status(customer, made, pb.SUBSCRIPTION_STATUS_INCOMPLETE_EXPIRED))
    again = await customer.subscribe("pro")
    cancelled = await customer.cancel(made)

    assert expired.client_secret == ""
    assert cancelled.status == pb.SUBSCRIPTION_STATUS_INCOMPLETE_EXPIRED
    assert (again.status, (await customer.entitlements()).plan_id) == (pb.SUBSCRIPTION_STATUS_ACTIVE, "pro")


async def test_a_year_has_its_months_tokens_and_a_renewal_a_new_period(customer: Customer, travel: Travel) -> None:
    made = await customer.subscribe("pro", interval=pb.INTERVAL_YEAR)
    before = await customer.entitlements()
    await travel.to_the_end_of(made)

    async def renewed() -> pb.Entitlements | None:
        seen = await customer.entitlements()
        return seen if seen.valid_until_time != before.valid_until_time else None

    after = await until(renewed)

    assert before.limits.tokens_per_month == 2_000_000
    assert (after.version, after.plan_id) == (before.version + 1, "pro")
    assert after.valid_until_time.seconds - before.valid_until_time.seconds in (365 * DAY, 366 * DAY)
