"""Changing the price: what it costs to the second, what a preview says, and when it happens."""

from typing import Any

import pytest
import stripe

from billing_svc.driver.changes import phases_of
from tests.billing_svc.contract.payer import Payer, item_of, moment

HOUR = 60 * 60


@pytest.mark.parametrize(
    ("currency", "old", "new", "begun", "changed", "lines"),
    [
        ("usd", 2000, 5000, (2026, 2, 2, 13), (2026, 2, 10, 13), [-1429, 3571]),
        ("usd", 1999, 4999, (2026, 1, 1), (2026, 1, 12, 6, 30, 15), [-1272, 3181]),
        ("jpy", 980, 2980, (2026, 4, 1), (2026, 4, 11), [-653, 1987]),
        ("kwd", 6000, 15000, (2026, 2, 2), (2026, 2, 16), [-3000, 7500]),
        ("kwd", 6150, 15400, (2026, 4, 1), (2026, 4, 11), [-4100, 10270]),  # exactly 10,266 2/3: to the nearest ten
    ],
)
async def test_an_upgrade_costs_to_the_second_what_its_preview_said(
    payer: Payer, currency: str, old: int, new: int, begun: tuple[int, ...], changed: tuple[int, ...], lines: list[int]
) -> None:
    await payer.begin(moment(*begun))
    made = await payer.subscribe(await payer.price(old, currency=currency))
    dearer = await payer.price(new, currency=currency)
    await payer.advance(moment(*changed))
    said = await payer.preview(made, dearer)
    assert said.parent
    assert said.parent.subscription_details
    await payer.advance(moment(*changed) + HOUR)
    date = said.parent.subscription_details.subscription_proration_date

    after = await payer.change(made, dearer, proration_date=date)
    invoice = await payer.invoice(after.latest_invoice)

    assert date == moment(*changed)
    assert [line.amount for line in said.lines.data] == lines
    assert [line.amount for line in invoice.lines.data] == lines
    assert (invoice.status, invoice.amount_paid, said.amount_due) == ("paid", sum(lines), sum(lines))
    assert item_of(after).price.id == dearer
    assert item_of(after).current_period_end == item_of(made).current_period_end


async def test_what_waits_for_the_next_invoice_is_charged_with_an_upgrade_only_if_its_preview_said_so(
    payer: Payer,
) -> None:
    await payer.begin(moment(2026, 2, 2, 13))
    made = await payer.subscribe(await payer.price(2000))
    dearer = await payer.price(5000)
    await payer.client.v1.invoice_items.create_async(
        {"customer": payer.id, "subscription": made.id, "amount": 340, "currency": "usd", "description": "Overage"}
    )
    await payer.advance(moment(2026, 2, 10, 13))
    said = await payer.preview(made, dearer)

    after = await payer.change(made, dearer, proration_date=moment(2026, 2, 10, 13))

    invoice = await payer.invoice(after.latest_invoice)
    assert (invoice.status, invoice.amount_paid) == ("paid", said.amount_due)


async def test_a_second_upgrade_gives_back_what_the_first_one_cost(payer: Payer) -> None:
    await payer.begin(moment(2026, 6, 1))
    made = await payer.subscribe(await payer.price(1000))
    middle, top = await payer.price(2000), await payer.price(4000)

    await payer.advance(moment(2026, 6, 16))
    await payer.change(made, middle)
    await payer.change(made, top)

    assert await payer.totals() == [1000, 500, 1000]


async def test_a_year_begins_when_it_is_chosen(payer: Payer) -> None:
    await payer.begin(moment(2026, 6, 1))
    made = await payer.subscribe(await payer.price(1000))
    year = await payer.price(10_000, interval="year")
    await payer.advance(moment(2026, 6, 16))

    said = await payer.preview(made, year)
    after = await payer.change(made, year)

    assert (said.total, await payer.totals()) == (9500, [1000, 9500])
    assert item_of(after).current_period_start == moment(2026, 6, 16)
    assert item_of(after).current_period_end == moment(2027, 6, 16)


async def test_a_cheaper_price_that_is_scheduled_begins_with_the_next_period(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 31))
    dear, cheap = await payer.price(5000), await payer.price(2000)
    made = await payer.subscribe(dear)
    await _schedule(payer, made, cheap)
    during = await payer.subscription(made)

    await payer.advance(moment(2026, 2, 28) + 2 * HOUR)
    after = await payer.subscription(made)
    entered = await payer.client.v1.subscription_schedules.retrieve_async(str(after.schedule))
    await payer.advance(moment(2026, 3, 31) + 2 * HOUR)

    assert (item_of(during).price.id, during.schedule is None) == (dear, False)
    assert (item_of(after).price.id, item_of(after).current_period_end) == (cheap, moment(2026, 3, 31))
    running, following = phases_of(entered)
    assert (running.start_date, running.end_date, following) == (moment(2026, 2, 28), moment(2026, 3, 31), None)
    assert (await payer.subscription(made)).schedule is None
    assert await payer.totals() == [5000, 2000, 2000]


async def test_a_schedule_that_is_released_changes_nothing(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 10))
    made = await payer.subscribe(await payer.price(5000))
    schedule = await _schedule(payer, made, await payer.price(2000))
    with pytest.raises(stripe.InvalidRequestError):
        await payer.client.v1.subscriptions.update_async(made.id, {"cancel_at_period_end": True})

    released = await payer.client.v1.subscription_schedules.release_async(schedule)
    await payer.advance(moment(2026, 2, 10) + 2 * HOUR)

    assert (released.status, (await payer.subscription(made)).schedule) == ("released", None)
    assert await payer.totals() == [5000, 5000]


async def test_a_coupon_of_a_phase_that_follows_counts_from_its_beginning(payer: Payer) -> None:
    await payer.begin(moment(2026, 1, 10))
    once = await payer.client.v1.coupons.create_async({"percent_off": 25, "duration": "once"})
    made, cheap = await payer.subscribe(await payer.price(5000)), await payer.price(2000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await _schedule(payer, made, cheap, discounts=[{"coupon": "there_is_no_such_coupon"}])
    schedules = payer.client.v1.subscription_schedules
    await schedules.release_async(str((await payer.subscription(made)).schedule))
    planned = await schedules.retrieve_async(await _schedule(payer, made, cheap, discounts=[{"coupon": once.id}]))

    await payer.advance(moment(2026, 2, 10) + 2 * HOUR)
    await payer.advance(moment(2026, 3, 10) + 2 * HOUR)

    assert str(refused.value.param).endswith("[coupon]")
    assert planned.phases[1].discounts[0].coupon == once.id
    assert await payer.totals() == [5000, 1500, 2000]


async def _schedule(payer: Payer, subscription: stripe.Subscription, price: str, **following: Any) -> str:
    """Have the price follow at the end of the running period, with whatever else the phase is to have."""
    schedules = payer.client.v1.subscription_schedules
    made = await schedules.create_async({"from_subscription": subscription.id})
    running = made.phases[0]
    phases: Any = [
        {
            "start_date": running.start_date,
            "end_date": running.end_date,
            "items": [{"price": item_of(subscription).price.id}],
        },
        {"items": [{"price": price}], "duration": {"interval": "month", "interval_count": 1}, **following},
    ]
    await schedules.update_async(made.id, {"end_behavior": "release", "phases": phases})
    return made.id


async def test_an_upgrade_waits_for_a_card_that_must_be_confirmed(payer: Payer) -> None:
    await payer.begin(moment(2026, 2, 2))
    cheap, dear = await payer.price(2000), await payer.price(5000)
    made = await payer.subscribe(cheap)
    await payer.pay_with("pm_card_authenticationRequired")

    with pytest.raises(stripe.CardError) as refused:
        await payer.change(made, dear)
    waiting = await payer.change(made, dear, payment_behavior="pending_if_incomplete")
    await payer.advance(moment(2026, 2, 3))
    after = await payer.subscription(made)

    assert refused.value.code == "subscription_payment_intent_requires_action"
    assert waiting.pending_update
    assert waiting.pending_update.expires_at == moment(2026, 2, 2, 23)
    assert (item_of(waiting).price.id, item_of(after).price.id) == (cheap, cheap)
    assert after.pending_update is None
    assert (await payer.invoice(waiting.latest_invoice)).status == "void"
