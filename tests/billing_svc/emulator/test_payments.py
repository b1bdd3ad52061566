"""The emulator's payments as the official SDK sees them: paid, declined, challenged, given back, kept for later."""

import pytest
import stripe
from stripe.params import PaymentIntentCreateParams

from tests.billing_svc.stripe_side import StripeSide


async def _customer(side: StripeSide) -> str:
    return (await side.client.v1.customers.create_async({})).id


async def _pay(side: StripeSide, customer: str, card: str) -> stripe.PaymentIntent:
    params: PaymentIntentCreateParams = {
        "amount": 1500,
        "currency": "usd",
        "customer": customer,
        "payment_method": card,
        "allowed_payment_method_types": ["card"],
        "confirm": True,
        "expand": ["latest_charge"],
    }
    return await side.client.v1.payment_intents.create_async(params)


async def test_a_payment_is_charged_and_given_back_in_parts_but_never_more(stripe_side: StripeSide) -> None:
    side, customer = stripe_side, await _customer(stripe_side)
    paid = await _pay(side, customer, "pm_card_visa")
    first = await side.client.v1.refunds.create_async({"payment_intent": paid.id, "amount": 600})
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        await side.client.v1.refunds.create_async({"payment_intent": paid.id, "amount": 901})
    rest = await side.client.v1.refunds.create_async({"payment_intent": paid.id, "reason": "duplicate"})
    with pytest.raises(stripe.InvalidRequestError) as nothing_left:
        await side.client.v1.refunds.create_async({"payment_intent": paid.id})

    assert (paid.status, paid.amount_received) == ("succeeded", 1500)
    assert (first.amount, first.status, rest.amount, rest.reason) == (600, "succeeded", 900, "duplicate")
    assert (too_much.value.param, nothing_left.value.code) == ("amount", "charge_already_refunded")
    listed = await side.client.v1.payment_intents.list_async({"customer": customer, "expand": ["data.latest_charge"]})
    charge = listed.data[0].latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.amount_refunded, charge.refunded) == (1500, True)
    refunds = await side.client.v1.refunds.list_async({"payment_intent": paid.id})
    assert [each.id for each in refunds.data] == [rest.id, first.id]


async def test_a_declined_payment_stays_and_can_be_tried_with_another_card_or_given_up(stripe_side: StripeSide) -> None:
    side, customer = stripe_side, await _customer(stripe_side)
    with pytest.raises(stripe.CardError) as declined:
        await _pay(side, customer, "pm_card_chargeDeclinedInsufficientFunds")
    with pytest.raises(stripe.CardError):
        await _pay(side, customer, "pm_card_chargeDeclined")
    given_up, tried = (await side.client.v1.payment_intents.list_async({"customer": customer})).data

    again = await side.client.v1.payment_intents.confirm_async(tried.id, {"payment_method": "pm_card_visa"})
    cancelled = await side.client.v1.payment_intents.cancel_async(given_up.id)
    with pytest.raises(stripe.InvalidRequestError) as too_late:
        await side.client.v1.payment_intents.cancel_async(tried.id)

    assert declined.value.error
    assert (declined.value.error.decline_code, declined.value.http_status) == ("insufficient_funds", 402)
    assert tried.last_payment_error
    assert (tried.status, tried.last_payment_error.decline_code) == ("requires_payment_method", "insufficient_funds")
    assert (again.status, cancelled.status) == ("succeeded", "canceled")
    assert too_late.value.code == "payment_intent_unexpected_state"
    assert [event["type"] for event in await side.events(customer)][:3] == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
    ]


async def test_a_card_of_another_customer_is_not_known(stripe_side: StripeSide) -> None:
    theirs = await stripe_side.client.v1.payment_methods.attach_async(
        "pm_card_visa", {"customer": await _customer(stripe_side)}
    )

    with pytest.raises(stripe.InvalidRequestError, match="No such PaymentMethod"):
        await _pay(stripe_side, await _customer(stripe_side), theirs.id)


async def test_a_card_is_kept_for_later(stripe_side: StripeSide) -> None:
    side, customer = stripe_side, await _customer(stripe_side)
    wanted = await side.client.v1.setup_intents.create_async({"customer": customer})
    with pytest.raises(stripe.CardError):
        await side.client.v1.setup_intents.confirm_async(wanted.id, {"payment_method": "pm_card_chargeDeclined"})
    kept = await side.client.v1.setup_intents.confirm_async(wanted.id, {"payment_method": "pm_card_mastercard"})
    cards = await side.client.v1.customers.payment_methods.list_async(customer)

    assert (wanted.status, kept.status) == ("requires_payment_method", "succeeded")
    assert [card.id for card in cards.data] == [kept.payment_method]
    assert cards.data[0].card
    assert cards.data[0].card.last4 == "4444"
