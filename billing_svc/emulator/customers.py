"""Customers, and the cards that are attached to them."""

from billing_svc.emulator.call import Call
from billing_svc.emulator.cards import CARDS
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.refusals import Refused, missing


def create(call: Call) -> Json:
    params = call.params
    customer = {
        "id": new_id("cus"),
        "object": "customer",
        "balance": 0,
        "created": call.clock.now(),
        "currency": None,
        "default_source": None,
        "description": params.text("description") or None,
        "email": params.text("email") or None,
        "invoice_prefix": new_id("").removeprefix("_")[:8].upper(),
        "invoice_settings": {"default_payment_method": None},
        "livemode": False,
        "metadata": params.metadata(),
        "name": params.text("name") or None,
    }
    return call.put(customer, "customer.created")


def retrieve(call: Call) -> Json:
    return call.get("customer", call.id)


def attach_card(call: Call) -> Json:
    """Attach a card to a customer. A magic card's id stays usable: each attachment makes a card of its own."""
    customer = call.get("customer", call.params.required("customer"), param="customer")
    if call.id not in CARDS:
        return _attach_again(call, customer["id"])
    card = CARDS[call.id]
    if card.refused_at == "attach":
        raise card.refuse()
    method = {
        "id": new_id("pm"),
        "object": "payment_method",
        "card": {"brand": card.brand, "last4": card.last4, "exp_month": 12, "exp_year": 2040, "funding": "credit"},
        "created": call.clock.now(),
        "customer": customer["id"],
        "livemode": False,
        "metadata": {},
        "type": "card",
    }
    return call.put(method, "payment_method.attached")


def _attach_again(call: Call, customer: str) -> Json:
    method = call.objects.find("payment_method", call.id)
    if method is None:
        raise missing("PaymentMethod", call.id, param="payment_method")
    if method["customer"] != customer:
        raise Refused("The payment method you provided has already been attached to a customer.")
    return method
