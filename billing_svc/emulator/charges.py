"""Charges: what was asked of a card and given back to it; and the cards, as Stripe keeps them."""

from billing_svc.emulator.call import Call
from billing_svc.emulator.cards import Card
from billing_svc.emulator.objects import Json, new_id


def create(call: Call, intent: Json, *, failure: tuple[str, str] | None = None) -> Json:
    """`failure`: the bank's code and words when it said no."""
    method = call.get("payment_method", intent["payment_method"])
    code, message = failure or (None, None)
    charge = {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0 if failure else intent["amount"],
        "amount_refunded": 0,
        "captured": not failure,
        "created": call.clock.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": code,
        "failure_message": message,
        "livemode": False,
        "metadata": intent["metadata"],
        "paid": not failure,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"type": "card", "card": method["card"]},
        "refunded": False,
        "status": "failed" if failure else "succeeded",
    }
    return call.put(charge, "charge.failed" if failure else "charge.succeeded")


def payment_method(call: Call, card: Card, *, customer: str | None) -> Json:
    """What Stripe keeps of a card: never its number."""
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "card": {"brand": card.brand, "last4": card.last4, "exp_month": 12, "exp_year": 2040, "funding": "credit"},
        "created": call.clock.now(),
        "customer": customer,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }
