"""What a card's owner does about a payment, and what follows for the invoice that it pays."""

from billing_svc.emulator import collecting, payment_intents
from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json
from billing_svc.emulator.refusals import Refused


def confirm(call: Call) -> Json | Refused:
    answer = payment_intents.confirm(call)
    _follow(call)
    return answer


def authenticate(call: Call, *, proven: bool) -> Json:
    """The card's owner has answered their bank."""
    intent = payment_intents.authenticate(call, proven=proven)
    _follow(call)
    return intent


def _follow(call: Call) -> None:
    """Settle the payment's invoice, if it has one and is there."""
    intent = call.get("payment_intent", call.id)
    invoice = collecting.of_intent(call, intent)
    if invoice and invoice["status"] == "open" and intent["status"] == "succeeded":
        collecting.settle(call.on_clock_of(call.get("customer", intent["customer"])), intent, invoice)
