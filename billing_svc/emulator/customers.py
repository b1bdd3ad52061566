"""Customers, and the cards that are attached to them."""

from billing_svc.emulator import charges
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
        "next_invoice_sequence": 1,
        "test_clock": _clock(call),
    }
    return call.put(customer, "customer.created")


def update(call: Call) -> Json:
    """Another default card, or credit (a negative balance)."""
    customer, params = call.get("customer", call.id), call.params
    settings = params.child("invoice_settings")
    if card := settings.text("default_payment_method"):
        call.get("payment_method", card, param="invoice_settings[default_payment_method]")
        customer["invoice_settings"] = {"default_payment_method": card}
    customer["balance"] = params.integer("balance", customer["balance"], least=-99_999_999)
    return call.put(customer, "customer.updated")


def retrieve(call: Call) -> Json:
    return call.get("customer", call.id)


def attach_card(call: Call) -> Json:
    """Attach a card to a customer. A magic card's id stays usable: each attachment makes a card of its own."""
    customer = call.get("customer", call.params.required("customer"), param="customer")
    return attach(call, call.id, customer["id"])


def list_cards(call: Call) -> Json:
    call.params.choice("type", ("card",), "card")
    return call.listed("payment_method", where={"customer": call.get("customer", call.id)["id"]})


def attach(call: Call, method: str, customer: str) -> Json:
    """The customer's new card. Raises the bank's refusal."""
    if method not in CARDS:
        return _attach_again(call, method, customer)
    card = CARDS[method]
    if card.refused_at == "attach":
        raise card.refuse()
    return call.put(charges.payment_method(call, card, customer=customer), "payment_method.attached")


def _clock(call: Call) -> str | None:
    id_ = call.params.text("test_clock")
    return str(call.get("test_helpers.test_clock", id_, param="test_clock")["id"]) if id_ else None


def _attach_again(call: Call, id_: str, customer: str) -> Json:
    method = call.objects.find("payment_method", id_)
    if method is None:
        raise missing("PaymentMethod", id_, param="payment_method")
    if method["customer"] is None:
        return call.put(method | {"customer": customer}, "payment_method.attached")
    if method["customer"] != customer:
        raise Refused("The payment method you provided has already been attached to a customer.")
    return method
