"""Changing a plan: an upgrade now, for exactly what the preview said; a downgrade when the paid period ends."""

import asyncio

import grpc
import pytest
from chatmesh.billing.v1 import billing_pb2 as pb
from sqlalchemy import select, update

from billing_svc.models import PlanChange, UsagePeriod
from svckit.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from svckit.postgres import Database
from svckit.rpc.status import received
from tests.billing_svc.conftest import Billing, Start
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.billing_svc.travel import DAY, Travel
from tests.callers import refusal
from tests.waiting import until

_ALL_TRIES = 3


@pytest.fixture
def travel(billing: Billing, stripe_side: StripeSide, customer: Customer) -> Travel:
    return Travel(billing, stripe_side, customer)


async def _totals(customer: Customer) -> list[int]:
    return [invoice.total.amount_minor for invoice in (await customer.invoices()).invoices[::-1]]


async def _until_invoiced(customer: Customer, times: int) -> None:
    async def invoiced() -> bool:
        return len(await _totals(customer)) == times

    await until(invoiced)


async def test_an_upgrade_charges_what_the_preview_said_and_gives_the_new_plan_at_once(
    customer: Customer, travel: Travel
) -> None:
    made = await customer.subscribe("pro")
    await travel.advance(10 * DAY + 12345)
    preview = await customer.preview(made, "team")
    await travel.advance(300)

    after = await customer.update(made, "team", preview_token=preview.preview_token)

    assert (after.plan_id, after.status, after.amount.amount_minor) == ("team", pb.SUBSCRIPTION_STATUS_ACTIVE, 5000)
    assert after.current_period_end_time == made.current_period_end_time
    assert 0 < preview.amount_due.amount_minor < 3000
    assert [line.proration for line in preview.lines] == [True, True]
    assert sum(line.amount.amount_minor for line in preview.lines) == preview.amount_due.amount_minor
    assert await _totals(customer) == [2000, preview.amount_due.amount_minor]
    assert (await customer.entitlements()).plan_id == "team"
    assert (await customer.entitlements()).limits.tokens_per_month == 10_000_000
    assert not preview.livemode


async def test_a_preview_is_charged_to_the_letter_or_not_at_all(customer: Customer, travel: Travel) -> None:
    made = await customer.subscribe("pro")
    token = (await customer.preview(made, "team")).preview_token
    other = await customer.subscription(made.id)

    of_other_plan = await refusal(customer.update(made, "pro", interval=pb.INTERVAL_YEAR, preview_token=token))
    with_coupon = await refusal(customer.update(made, "team", coupon="HALF", preview_token=token))
    forged = await refusal(customer.update(made, "team", preview_token=token[:-6] + "AAAAA="))
    garbage = await refusal(customer.update(made, "team", preview_token="ä.!"))
    await customer.cancel(made)
    await customer.resume(made)
    still = await customer.update(made, "team", preview_token=token)
    expired = await refusal(customer.update(made, "pro", interval=pb.INTERVAL_YEAR, preview_token=token))

    for refused in (of_other_plan, with_coupon, forged, garbage):
        assert (type(refused), refused.reason) == (InvalidArgument, "PREVIEW_TOKEN_INVALID")
    assert (other.plan_id, still.plan_id) == ("pro", "team")
    assert expired.reason in ("PREVIEW_TOKEN_INVALID", "PREVIEW_EXPIRED")


async def test_a_preview_of_what_was_is_no_longer_true(customer: Customer, travel: Travel) -> None:
    made = await customer.subscribe("pro")
    token = (await customer.preview(made, "team")).preview_token
    await travel.to_the_end_of(made)

    async def renewed() -> bool:
        return (await customer.subscription(made.id)).current_period_end_time != made.current_period_end_time

    await until(renewed)
    refused = await refusal(customer.update(made, "team", preview_token=token))

    assert (type(refused), refused.reason) == (Aborted, "PREVIEW_EXPIRED")
    assert await _totals(customer) == [2000, 2000]


async def test_a_downgrade_waits_for_the_end_of_the_period(
    customer: Customer, travel: Travel, database: Database, stripe_side: StripeSide
) -> None:
    coupons = stripe_side.client.v1.coupons
    half = (await coupons.create_async({"percent_off": 50, "duration": "forever"})).id
    made = await customer.subscribe("team", coupon=half)
    roomy = await customer.preview(made, "pro")
    async with database.transaction() as session:
        used = update(UsagePeriod).where(UsagePeriod.subscription_id == made.id).values(used=2_000_001)
        await session.execute(used)
    preview = await customer.preview(made, "pro")

    waiting = await customer.update(made, "pro", preview_token=preview.preview_token)
    during = await customer.entitlements()
    await travel.to_the_end_of(made)

    async def changed() -> pb.Subscription | None:
        seen = await customer.subscription(made.id)
        return seen if seen.plan_id == "pro" else None

    after = await until(changed)

    assert preview.amount_due.amount_minor == 0
    assert (list(roomy.warnings), list(preview.warnings)) == ([], ["usage_exceeds_new_plan"])
    assert preview.effective_time == made.current_period_end_time
    assert (waiting.plan_id, waiting.pending_plan_id, waiting.pending_interval) == ("team", "pro", pb.INTERVAL_MONTH)
    assert waiting.pending_time == made.current_period_end_time
    assert during.plan_id == "team"
    assert (after.pending_plan_id, after.amount.amount_minor) == ("", 2000)
    assert await _totals(customer) == [2500, 1000]
    assert (await customer.entitlements()).plan_id == "pro"


async def test_what_follows_a_downgrade_that_happened_waits_for_the_end_of_the_next_period(
    customer: Customer, travel: Travel
) -> None:
    made = await customer.subscribe("team", interval=pb.INTERVAL_YEAR)
    await customer.update(made, "pro", interval=pb.INTERVAL_YEAR)
    await travel.to_the_end_of(made)

    async def changed() -> pb.Subscription | None:
        seen = await customer.subscription(made.id)
        return seen if seen.plan_id == "pro" else None

    after = await until(changed)
    waiting = await customer.update(after, "pro", interval=pb.INTERVAL_MONTH)
    await travel.to_the_end_of(after)
    await _until_invoiced(customer, 3)
    last = await customer.subscription(made.id)

    assert (after.pending_plan_id, after.HasField("pending_time")) == ("", False)
    assert (waiting.interval, waiting.pending_interval) == (pb.INTERVAL_YEAR, pb.INTERVAL_MONTH)
    assert waiting.pending_time == after.current_period_end_time
    assert (last.interval, last.pending_plan_id) == (pb.INTERVAL_MONTH, "")
    assert await _totals(customer) == [50000, 20000, 2000]


async def test_what_is_pending_can_be_taken_back_and_replaced(customer: Customer) -> None:
    made = await customer.subscribe("team", interval=pb.INTERVAL_YEAR)
    shorter = await customer.update(made, "team", interval=pb.INTERVAL_MONTH)
    cheaper = await customer.update(made, "pro")
    ending = await customer.cancel(made)
    blocked = await refusal(customer.update(made, "pro"))
    resumed = await customer.resume(made)
    nothing = await refusal(customer.resume(made))

    assert (shorter.pending_plan_id, shorter.pending_interval) == ("team", pb.INTERVAL_MONTH)
    assert (cheaper.pending_plan_id, cheaper.pending_interval) == ("pro", pb.INTERVAL_YEAR)
    assert (ending.cancel_at_period_end, ending.pending_plan_id) == (True, "")
    assert (type(blocked), blocked.reason) == (FailedPrecondition, "CANCELLATION_PENDING")
    assert (resumed.cancel_at_period_end, resumed.plan_id) == (False, "team")
    assert (type(nothing), nothing.reason) == (FailedPrecondition, "NOTHING_PENDING")


async def test_what_is_taken_back_twice_at_once_is_taken_back(customer: Customer) -> None:
    made = await customer.subscribe("team")
    await customer.update(made, "pro")

    cancelled = await asyncio.gather(*(customer.cancel(made) for _ in range(4)), return_exceptions=True)
    resumed = await asyncio.gather(*(customer.resume(made) for _ in range(4)), return_exceptions=True)

    refused = [received(each) for each in (*cancelled, *resumed) if isinstance(each, grpc.aio.AioRpcError)]
    assert {error.reason for error in refused} <= {"CHANGE_IN_PROGRESS", "NOTHING_PENDING"}
    after = await customer.subscription(made.id)
    assert (after.plan_id, after.pending_plan_id, after.cancel_at_period_end) == ("team", "", False)


async def test_a_longer_interval_begins_at_once(customer: Customer, travel: Travel) -> None:
    made = await customer.subscribe("pro", currency="kwd")
    preview = await customer.preview(made, "pro", interval=pb.INTERVAL_YEAR)
    after = await customer.update(made, "pro", interval=pb.INTERVAL_YEAR, preview_token=preview.preview_token)

    assert (after.interval, after.amount) == (pb.INTERVAL_YEAR, pb.Money(amount_minor=61500, currency="kwd"))
    assert await _totals(customer) == [6150, preview.amount_due.amount_minor]
    assert after.current_period_end_time.seconds - after.current_period_start_time.seconds >= 365 * DAY


async def test_coupons_count_when_subscribing_and_when_changing(customer: Customer, stripe_side: StripeSide) -> None:
    coupons = stripe_side.client.v1.coupons
    half = (await coupons.create_async({"percent_off": 50, "duration": "forever"})).id
    five = (await coupons.create_async({"amount_off": 500, "currency": "usd", "duration": "once"})).id
    euros = (await coupons.create_async({"amount_off": 500, "currency": "eur", "duration": "once"})).id

    made = await customer.subscribe("pro", coupon=five)
    misfit = await refusal(customer.preview(made, "team", coupon=euros))
    unknown = await refusal(customer.update(made, "team", coupon="NOT_THERE"))
    preview = await customer.preview(made, "team", coupon=half)
    await customer.update(made, "team", coupon=half, preview_token=preview.preview_token)
    later = [await refusal(ask(made, "pro", coupon=euros)) for ask in (customer.preview, customer.update)]

    assert await _totals(customer) == [1500, preview.amount_due.amount_minor]
    assert preview.amount_due.amount_minor == 1000
    for refused in (misfit, unknown, *later):
        assert (type(refused), refused.reason) == (InvalidArgument, "COUPON_INVALID")
        assert refused.violations[0].field == "coupon"
    assert (await customer.subscription(made.id)).pending_plan_id == ""


async def test_a_coupon_on_a_downgrade_takes_the_place_of_the_old_one_when_it_happens(
    customer: Customer, travel: Travel, stripe_side: StripeSide
) -> None:
    coupons = stripe_side.client.v1.coupons
    half = (await coupons.create_async({"percent_off": 50, "duration": "forever"})).id
    stay = (await coupons.create_async({"amount_off": 500, "currency": "usd", "duration": "once"})).id
    made = await customer.subscribe("team", coupon=half)
    preview = await customer.preview(made, "pro", coupon=stay)
    without = await refusal(customer.update(made, "pro", preview_token=preview.preview_token))
    for _ in range(2):  # said again, it is not given twice
        await customer.update(made, "pro", coupon=stay, preview_token=preview.preview_token, idempotency_key="once")
    (during,) = await stripe_side.subscriptions(customer.id)
    for periods in (2, 3):
        await travel.to_the_end_of(await customer.subscription(made.id))
        await _until_invoiced(customer, periods)

    assert preview.amount_due.amount_minor == 0
    assert without.reason == "PREVIEW_TOKEN_INVALID"
    assert len(during.discounts) == 1
    assert await _totals(customer) == [2500, 1500, 2000]
    assert (await coupons.retrieve_async(stay)).times_redeemed == 1


async def test_a_declined_upgrade_leaves_the_plan_and_the_right_to_another_one(
    customer: Customer, travel: Travel
) -> None:
    made = await customer.subscribe("pro")
    await travel.pay_with("pm_card_chargeCustomerFail")
    first = await refusal(customer.update(made, "team", idempotency_key="once"))
    again = await refusal(customer.update(made, "team", idempotency_key="once"))
    await travel.pay_with("pm_card_visa")
    after = await customer.update(made, "team", idempotency_key="twice")

    for refused in (first, again):
        assert (type(refused), refused.reason) == (FailedPrecondition, "CARD_DECLINED")
        assert refused.metadata["decline_code"] == "generic_decline"
    assert (after.plan_id, len(await _totals(customer))) == ("team", 2)


async def test_a_card_that_must_be_confirmed_keeps_the_plan_until_it_is(
    customer: Customer, travel: Travel, stripe_side: StripeSide
) -> None:
    made = await customer.subscribe("pro")
    await travel.pay_with("pm_card_authenticationRequired")
    waiting = await customer.update(made, "team")
    during = await customer.entitlements()
    taken_back = await customer.resume(made)
    await customer.update(made, "team")
    await stripe_side.authenticate(customer.id)
    await travel.tell()

    async def changed() -> pb.Subscription | None:
        seen = await customer.subscription(made.id)
        return seen if seen.plan_id == "team" else None

    after = await until(changed)

    assert (waiting.plan_id, waiting.pending_plan_id, during.plan_id) == ("pro", "team", "pro")
    assert waiting.client_secret.startswith("pi_")
    assert (taken_back.pending_plan_id, taken_back.client_secret) == ("", "")
    assert (after.pending_plan_id, after.client_secret) == ("", "")
    assert (await customer.entitlements()).plan_id == "team"


async def test_a_first_payment_that_must_be_confirmed_gives_nothing_until_it_is(
    customer: Customer, travel: Travel, stripe_side: StripeSide
) -> None:
    made = await customer.subscribe("pro", payment_method="pm_card_authenticationRequired")
    before = await customer.entitlements()
    await stripe_side.authenticate(customer.id)
    await travel.tell()

    async def paid() -> pb.Subscription | None:
        seen = await customer.subscription(made.id)
        return seen if seen.status == pb.SUBSCRIPTION_STATUS_ACTIVE else None

    after = await until(paid)

    assert (made.status, before.plan_id) == (pb.SUBSCRIPTION_STATUS_INCOMPLETE, "free")
    assert after.client_secret == ""
    assert (await customer.entitlements()).plan_id == "pro"


async def test_what_is_so_already_or_has_ended_or_is_somebody_elses_is_not_changed(
    billing: Billing, customer: Customer
) -> None:
    made = await customer.subscribe("pro")
    same = await refusal(customer.update(made, "pro"))
    unknown = await refusal(customer.preview(made, "platinum"))
    stranger = billing.customer()
    not_theirs = [
        await refusal(stranger.preview(made, "team")),
        await refusal(stranger.update(made, "team")),
        await refusal(stranger.cancel(made, now=True)),
        await refusal(stranger.resume(made)),
    ]
    ended = await customer.cancel(made, now=True)
    again = await customer.cancel(made)
    too_late = await refusal(customer.update(made, "team"))

    assert (type(same), same.reason) == (FailedPrecondition, "NOTHING_CHANGES")
    assert (unknown.reason, unknown.violations[0].field) == ("PLAN_UNKNOWN", "plan_id")
    assert {type(refused) for refused in not_theirs} == {NotFound}
    assert ended.status == again.status == pb.SUBSCRIPTION_STATUS_CANCELED
    assert (await customer.entitlements()).plan_id == "free"
    assert (type(too_late), too_late.reason) == (FailedPrecondition, "NOT_CHANGEABLE")


async def test_of_many_changes_at_once_one_is_charged(customer: Customer) -> None:
    made = await customer.subscribe("pro")
    asked = [customer.update(made, "team", idempotency_key=f"key {number // 2}") for number in range(6)]

    answers = await asyncio.gather(*asked, return_exceptions=True)

    refused = [received(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert {error.reason for error in refused} <= {"CHANGE_IN_PROGRESS", "NOTHING_CHANGES"}
    assert [answer.plan_id for answer in answers if isinstance(answer, pb.Subscription)]
    assert len(await _totals(customer)) == 2


async def test_a_repeat_is_answered_as_the_first_and_another_request_with_its_key_is_refused(
    customer: Customer,
) -> None:
    made = await customer.subscribe("pro")
    first = await customer.update(made, "team", idempotency_key="once")
    again = await customer.update(made, "team", idempotency_key="once")
    other = await refusal(customer.update(made, "pro", idempotency_key="once"))

    assert again == first
    assert other.reason == "IDEMPOTENCY_KEY_REUSED"
    assert len(await _totals(customer)) == 2


async def test_an_open_outcome_is_settled_once(
    start: Start, database: Database, customer: Customer, stripe_side: StripeSide
) -> None:
    """The answers are lost after Stripe has charged; a repeat, another start and everybody's sweeps charge no more."""
    made = await customer.subscribe("pro")
    path = f"/v1/subscriptions/{(await stripe_side.subscriptions(customer.id))[0].id}"
    await stripe_side.spoil(path, "drop", times=_ALL_TRIES)
    unsure = await refusal(customer.update(made, "team", idempotency_key="once"))
    meanwhile = await refusal(customer.update(made, "team", interval=pb.INTERVAL_YEAR))

    async with start() as restarted:
        again = Customer(restarted.stub, customer.id)

        async def changed() -> bool:
            return (await again.subscription(made.id)).plan_id == "team"

        await until(changed)
    repeated = await customer.update(made, "team", idempotency_key="once")

    async with database.transaction() as session:
        status = await session.scalar(select(PlanChange.status).where(PlanChange.user_id == customer.id))
    assert isinstance(unsure, Unavailable)
    assert (type(meanwhile), meanwhile.reason) == (Aborted, "CHANGE_IN_PROGRESS")
    assert (repeated.plan_id, status, len(await _totals(customer))) == ("team", "done", 2)
