"""Refunds: back to the card, never more than it was charged."""

from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.refusals import Refused

_REASONS = ("", "duplicate", "fraudulent", "requested_by_customer")


def create(call: Call) -> Json:
    params = call.params
    intent = call.get("payment_intent", params.required("payment_intent"), param="payment_intent")
    charge = _paid_charge(call, intent)
    left = charge["amount"] - charge["amount_refunded"]
    amount = params.amount("amount", charge["currency"], default=left, least=1)
    if not left:
        message = f"Charge {charge['id']} has already been refunded."
        raise Refused(message, code="charge_already_refunded")
    if amount > left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise Refused(message, param="amount")
    refund = {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "charge": charge["id"],
        "created": call.clock.now(),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "metadata": params.metadata(),
        "payment_intent": intent["id"],
        "reason": params.choice("reason", _REASONS, "") or None,
        "status": "succeeded",
    }
    call.put(refund, "refund.created")
    refunded = charge["amount_refunded"] + amount
    call.put(charge | {"amount_refunded": refunded, "refunded": amount == left}, "charge.refunded")
    return refund


def retrieve(call: Call) -> Json:
    return call.get("refund", call.id)


def list_all(call: Call) -> Json:
    params = call.params
    return call.listed(
        "refund", where={"payment_intent": params.text("payment_intent"), "charge": params.text("charge")}
    )


def _paid_charge(call: Call, intent: Json) -> Json:
    if intent["status"] != "succeeded":
        message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise Refused(message, param="payment_intent")
    return call.get("charge", intent["latest_charge"])
