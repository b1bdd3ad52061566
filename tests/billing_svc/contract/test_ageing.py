"""What becomes of a subscription as time passes: renewals, trials, discounts, ends."""

from typing import Any

import pytest
import stripe

from tests.billing_svc.contract.payer import Payer, item_of, moment

HOUR = 60 * 60
DAY = 24 * HOUR


async def test_a_month_from_the_31st_ends_on_the_last_day_and_comes_back_to_the_31st(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 31, 13))
    made = await payer.subscribe(await payer.price(2000))
    ends = [item_of(made).current_period_end]
    for end in ((2026, 2, 28, 15), (2026, 3, 31, 15)):
        await payer.advance(moment(*end))
        ends.append(item_of(await payer.subscription(made)).current_period_end)

    assert ends == [moment(2026, 2, 28, 13), moment(2026, 3, 31, 13), moment(2026, 4, 30, 13)]
    assert [(invoice.total, invoice.status) for invoice in await payer.invoices()] == [(2000, "paid")] * 3


async def test_a_renewal_is_a_draft_for_an_hour_and_takes_what_waits_for_it(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 10))
    made = await payer.subscribe(await payer.price(2000))
    await payer.client.v1.invoice_items.create_async(
        {"customer": payer.id, "subscription": made.id, "amount": 340, "currency": "usd", "description": "Overage"}
    )

    await payer.advance(moment(2026, 2, 10) + HOUR // 2)
    early = (await payer.invoices())[-1]
    await payer.advance(moment(2026, 2, 10) + 2 * HOUR)
    late = (await payer.invoices())[-1]

    assert (early.status, late.status, late.total) == ("draft", "paid", 2340)


async def test_a_trial_costs_nothing_until_it_ends(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 10))
    made = await payer.subscribe(await payer.price(2000), trial_period_days=14)
    await payer.advance(moment(2026, 1, 24) + 2 * HOUR)
    after = await payer.subscription(made)

    assert (made.status, made.trial_end, after.status) == ("trialing", moment(2026, 1, 24), "active")
    assert item_of(after).current_period_end == moment(2026, 2, 24)
    assert await payer.totals() == [0, 2000]


async def test_a_trial_without_a_card_pauses_and_goes_on_with_one(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 10), card="")
    ends: Any = {"end_behavior": {"missing_payment_method": "pause"}}
    made = await payer.subscribe(await payer.price(2000), trial_period_days=14, trial_settings=ends)
    await payer.advance(moment(2026, 1, 25))
    paused = await payer.subscription(made)

    await payer.pay_with("pm_card_visa")
    resumed = await payer.client.v1.subscriptions.resume_async(made.id)

    assert (paused.status, resumed.status) == ("paused", "active")
    assert item_of(resumed).current_period_end == moment(2026, 2, 25)
    assert await payer.totals() == [0, 2000]


@pytest.mark.parametrize(
    ("coupon", "totals"),
    [
        ({"percent_off": 25, "duration": "once"}, [1500, 2000, 2000]),
        ({"percent_off": 12.5, "duration": "repeating", "duration_in_months": 2}, [1750, 1750, 2000]),
        ({"amount_off": 500, "currency": "usd", "duration": "forever"}, [1500, 1500, 1500]),
        ({"amount_off": 9999, "currency": "usd", "duration": "once"}, [0, 2000, 2000]),
    ],
)
async def test_a_coupon_works_for_as_long_as_it_says(payer: Payer, coupon: Any, totals: list[int]) -> None:
    await payer.begin(moment(2026, 1, 10))
    made = await payer.client.v1.coupons.create_async(coupon)
    await payer.subscribe(await payer.price(2000), discounts=[{"coupon": made.id}])

    await payer.advance(moment(2026, 2, 10) + 2 * HOUR)
    await payer.advance(moment(2026, 3, 10) + 2 * HOUR)

    assert await payer.totals() == totals


async def test_a_coupon_of_another_currency_is_refused(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 10))
    coupon = await payer.client.v1.coupons.create_async({"amount_off": 500, "currency": "eur", "duration": "once"})

    with pytest.raises(stripe.InvalidRequestError):
        await payer.subscribe(await payer.price(2000), discounts=[{"coupon": coupon.id}])


async def test_one_that_is_to_end_ends_with_its_period(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 10))
    made = await payer.subscribe(await payer.price(2000))
    leaving: Any = {"cancel_at_period_end": True, "cancellation_details": {"feedback": "unused"}}
    ending = await payer.client.v1.subscriptions.update_async(made.id, leaving)

    await payer.advance(moment(2026, 2, 9))
    before = await payer.subscription(made)
    await payer.advance(moment(2026, 2, 10) + 2 * HOUR)
    after = await payer.subscription(made)

    assert (ending.cancel_at_period_end, ending.cancel_at) == (True, moment(2026, 2, 10))
    assert after.cancellation_details
    assert (after.cancellation_details.reason, after.cancellation_details.feedback) == (
        "cancellation_requested",
        "unused",
    )
    assert (before.status, after.status, after.ended_at) == ("active", "canceled", moment(2026, 2, 10))
    assert await payer.totals() == [2000]


async def test_one_whose_first_payment_stays_open_expires_after_23_hours(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 10), card="pm_card_authenticationRequired")
    price = await payer.price(2000)
    with pytest.raises(stripe.CardError) as refused:
        await payer.subscribe(price)
    made = await payer.subscribe(
        price, payment_behavior="allow_incomplete", expand=["latest_invoice.confirmation_secret"]
    )
    await payer.advance(moment(2026, 1, 11))
    after = await payer.subscription(made)

    assert refused.value.code == "subscription_payment_intent_requires_action"
    assert isinstance(made.latest_invoice, stripe.Invoice)
    assert made.latest_invoice.confirmation_secret
    assert made.latest_invoice.confirmation_secret.client_secret.startswith("pi_")
    assert (made.status, after.status) == ("incomplete", "incomplete_expired")


async def test_a_renewal_that_is_declined_is_past_due_until_another_card_pays(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 10))
    made = await payer.subscribe(await payer.price(2000))
    await payer.pay_with("pm_card_chargeCustomerFail")
    await payer.advance(moment(2026, 2, 10) + 2 * HOUR)
    late = await payer.subscription(made)
    failed = (await payer.invoices())[-1]

    await payer.pay_with("pm_card_visa")
    assert failed.next_payment_attempt
    await payer.advance(failed.next_payment_attempt + HOUR)
    after = await payer.subscription(made)

    assert (late.status, failed.status, failed.amount_remaining) == ("past_due", "open", 2000)
    assert (after.status, (await payer.invoices())[-1].status) == ("active", "paid")
