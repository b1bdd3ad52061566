"""Subscribing: one live subscription a user, paid at once or not made at all, and repeats that change nothing."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from chatmesh.billing.v1 import billing_pb2 as pb

from svckit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from svckit.rpc.status import received
from tests.billing_svc.conftest import Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.callers import refusal


async def test_the_first_subscription_needs_no_card_and_is_active_at_once(customer: Customer) -> None:
    made = await customer.subscribe("pro")

    assert made.status == pb.SUBSCRIPTION_STATUS_ACTIVE
    assert (made.plan_id, made.interval) == ("pro", pb.INTERVAL_MONTH)
    assert (made.amount.amount_minor, made.amount.currency) == (2000, "usd")
    period = made.current_period_end_time.ToDatetime(UTC) - made.current_period_start_time.ToDatetime(UTC)
    assert timedelta(days=28) <= period <= timedelta(days=31)
    assert await customer.subscription(made.id) == made
    assert await customer.subscriptions() == [made]


async def test_the_answer_says_where_the_subscription_is(billing: Billing, customer: Customer) -> None:
    call = billing.stub.CreateSubscription(pb.CreateSubscriptionRequest(plan_id="pro"), metadata=customer.metadata)
    made = (await call).subscription

    headers = dict(await call.initial_metadata())
    assert headers["x-http-status"] == "201"
    assert headers["location"] == f"/api/subscriptions/{made.id}"


async def test_its_invoice_is_paid_and_listed(customer: Customer) -> None:
    made = await customer.subscribe("team", interval=pb.INTERVAL_YEAR, currency="jpy")
    invoices = (await customer.invoices()).invoices

    assert len(invoices) == 1
    assert invoices[0].status == pb.INVOICE_STATUS_PAID
    assert (invoices[0].total.amount_minor, invoices[0].total.currency) == (75000, "jpy")
    assert invoices[0].amount_due.amount_minor == 0
    assert invoices[0].number.endswith("-0001")
    assert invoices[0].subscription_id == made.id
    assert invoices[0].period_end_time == made.current_period_end_time


async def test_the_entitlements_follow_the_plan(customer: Customer) -> None:
    before = await customer.entitlements()
    made = await customer.subscribe("pro")
    after = await customer.entitlements()

    assert (before.plan_id, before.version) == ("free", 0)
    assert before.limits.tokens_per_month == 50_000
    assert not before.HasField("valid_until_time")
    assert (after.plan_id, after.version) == ("pro", 1)
    assert after.limits.tokens_per_month == 2_000_000
    assert after.limits.overage_per_1000_tokens == pb.Money(amount_minor=2, currency="usd")
    assert after.valid_until_time == made.current_period_end_time


async def test_a_second_subscription_is_refused(customer: Customer, stripe_side: StripeSide) -> None:
    await customer.subscribe("pro")

    error = await refusal(customer.subscribe("team"))

    assert isinstance(error, AlreadyExists)
    assert error.reason == "SUBSCRIPTION_EXISTS"
    assert len(await stripe_side.subscriptions(customer.id)) == 1


async def test_a_customer_pays_in_one_currency(customer: Customer, stripe_side: StripeSide) -> None:
    first = await customer.subscribe("pro", currency="jpy")
    meanwhile = await refusal(customer.subscribe("pro", currency="usd"))
    await customer.cancel(first, now=True)
    refused = await refusal(customer.subscribe("pro", currency="usd"))
    again = await customer.subscribe("pro", currency="jpy")

    assert isinstance(meanwhile, AlreadyExists)
    assert (type(refused), refused.reason) == (InvalidArgument, "CURRENCY_FIXED")
    assert refused.violations[0].field == "currency"
    assert {each.metadata["subscription_id"] for each in await stripe_side.subscriptions(customer.id)} == {
        first.id,
        again.id,
    }


async def test_of_many_at_once_one_is_made(customer: Customer, stripe_side: StripeSide) -> None:
    answers = await asyncio.gather(*(customer.subscribe("pro") for _ in range(5)), return_exceptions=True)

    made = [answer for answer in answers if isinstance(answer, pb.Subscription)]
    refused = [received(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(made) == 1
    assert [error.reason for error in refused] == ["SUBSCRIPTION_EXISTS"] * 4
    assert len(await stripe_side.subscriptions(customer.id)) == 1


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_chargeDeclined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeCustomerFail", "generic_decline"),
    ],
)
async def test_a_declined_card_leaves_nothing(
    customer: Customer, stripe_side: StripeSide, card: str, code: str
) -> None:
    error = await refusal(customer.subscribe("pro", payment_method=card))

    assert isinstance(error, FailedPrecondition)
    assert error.reason == "CARD_DECLINED"
    assert error.metadata["decline_code"] == code
    assert await customer.subscriptions() == []
    assert list((await customer.invoices()).invoices) == []
    assert (await customer.entitlements()).plan_id == "free"
    assert await stripe_side.subscriptions(customer.id) == []


async def test_after_a_decline_another_card_works(customer: Customer) -> None:
    await refusal(customer.subscribe("pro", payment_method="pm_card_chargeDeclined"))

    made = await customer.subscribe("pro", payment_method="pm_card_mastercard")

    assert made.status == pb.SUBSCRIPTION_STATUS_ACTIVE
    assert [each.id for each in await customer.subscriptions()] == [made.id]


async def test_a_repeat_with_the_same_key_answers_the_first(customer: Customer, stripe_side: StripeSide) -> None:
    first = await customer.subscribe("pro", idempotency_key="once")
    again = await customer.subscribe("pro", idempotency_key="once")

    assert again == first
    assert len(await stripe_side.subscriptions(customer.id)) == 1


async def test_the_key_may_come_in_a_header(customer: Customer, stripe_side: StripeSide) -> None:
    request = pb.CreateSubscriptionRequest(plan_id="pro")
    metadata = (*customer.metadata, ("idempotency-key", "once"))
    first = await customer.stub.CreateSubscription(request, metadata=metadata)
    again = await customer.stub.CreateSubscription(request, metadata=metadata)

    assert again == first
    assert len(await stripe_side.subscriptions(customer.id)) == 1


async def test_a_header_with_another_key_than_the_message_is_refused(customer: Customer) -> None:
    request = pb.CreateSubscriptionRequest(plan_id="pro", idempotency_key="once")
    metadata = (*customer.metadata, ("idempotency-key", "twice"))
    error = await refusal(customer.stub.CreateSubscription(request, metadata=metadata))

    assert [violation.field for violation in error.violations] == ["idempotency_key"]
    assert await customer.subscriptions() == []


async def test_many_repeats_at_once_make_one(customer: Customer, stripe_side: StripeSide) -> None:
    made = await asyncio.gather(*(customer.subscribe("pro", idempotency_key="once") for _ in range(5)))

    assert len({each.id for each in made}) == 1
    assert len(await stripe_side.subscriptions(customer.id)) == 1


async def test_a_declined_repeat_is_declined_again(customer: Customer) -> None:
    request = {"payment_method": "pm_card_chargeDeclined", "idempotency_key": "once"}
    first = await refusal(customer.subscribe("pro", **request))
    again = await refusal(customer.subscribe("pro", **request))

    assert again.message == first.message
    assert again.metadata["decline_code"] == "generic_decline"


async def test_a_key_with_another_request_is_refused(customer: Customer) -> None:
    await customer.subscribe("pro", idempotency_key="once")

    error = await refusal(customer.subscribe("team", idempotency_key="once"))

    assert isinstance(error, InvalidArgument)
    assert error.reason == "IDEMPOTENCY_KEY_REUSED"
    assert error.violations[0].field == "idempotency_key"


async def test_keys_of_two_users_have_nothing_to_do_with_each_other(billing: Billing) -> None:
    one, other = billing.customer(), billing.customer()

    first = await one.subscribe("pro", idempotency_key="once")
    second = await other.subscribe("team", idempotency_key="once")

    assert first.id != second.id
    assert second.plan_id == "team"


@pytest.mark.parametrize(
    ("request_", "field", "reason"),
    [
        ({"plan_id": "platinum"}, "plan_id", "PLAN_UNKNOWN"),
        ({"plan_id": "free"}, "plan_id", "PLAN_FREE"),
        ({"plan_id": "pro", "currency": "xxx"}, "currency", "PRICE_UNKNOWN"),
        ({"plan_id": "pro", "payment_method": "pm_nobody_has"}, "payment_method", "PAYMENT_METHOD_INVALID"),
        ({"plan_id": "pro", "coupon": "HALF"}, "coupon", "COUPON_INVALID"),
        ({"plan_id": "pro", "coupon": "a\0b"}, "coupon", "INVALID_ARGUMENT"),
        ({"plan_id": "pro", "payment_method": "a\0b"}, "payment_method", "INVALID_ARGUMENT"),
    ],
)
async def test_what_cannot_be_ordered_is_named_and_leaves_nothing(
    customer: Customer, request_: dict[str, str], field: str, reason: str
) -> None:
    error = await refusal(customer.subscribe(**request_, idempotency_key="once"))

    assert isinstance(error, InvalidArgument)
    assert (error.violations[0].field, error.reason) == (field, reason)
    assert await customer.subscriptions() == []
    assert (await customer.subscribe("pro", idempotency_key="once")).plan_id == "pro"


async def test_a_key_that_cannot_be_kept_is_refused(customer: Customer) -> None:
    error = await refusal(customer.subscribe("pro", idempotency_key="a\0b"))

    assert isinstance(error, InvalidArgument)
    assert error.violations[0].field == "idempotency_key"


async def test_someone_elses_subscription_is_not_found(billing: Billing, customer: Customer) -> None:
    made = await customer.subscribe("pro")

    refused = await refusal(billing.customer().subscription(made.id))

    assert isinstance(refused, NotFound)


async def test_nobody_subscribes_without_a_token(billing: Billing) -> None:
    refused = await refusal(billing.stub.CreateSubscription(pb.CreateSubscriptionRequest(plan_id="pro")))

    assert isinstance(refused, Unauthenticated)


async def test_prices_are_made_at_stripe_once(billing: Billing, stripe_side: StripeSide) -> None:
    await asyncio.gather(*(billing.customer().subscribe("team", currency="eur") for _ in range(3)))

    key = "team_month_eur_4800"
    found = await stripe_side.client.v1.prices.list_async({"lookup_keys": [key]})
    assert [price.unit_amount for price in found.data] == [4800]


async def test_a_page_token_that_was_not_given_is_refused(customer: Customer) -> None:
    refused = await refusal(customer.invoices(page_token="!"))

    assert refused.reason == "PAGE_TOKEN_INVALID"


async def test_a_subscription_began_when_it_was_asked_for(customer: Customer) -> None:
    before = datetime.now(UTC)
    made = await customer.subscribe("pro")

    assert before <= made.create_time.ToDatetime(UTC) <= datetime.now(UTC)
