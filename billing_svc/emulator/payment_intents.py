"""Payment intents: a charge that is wanted, and what the card's bank says to it.

https://docs.stripe.com/payments/paymentintents/lifecycle. One that is declined stays, and may be tried again.
"""

from billing_svc.emulator import charges
from billing_svc.emulator.call import Call
from billing_svc.emulator.cards import CARDS, CARDS_BY_LAST4, Card
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.refusals import Refused, missing

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(call: Call) -> Json | Refused:
    params = call.params
    customer = call.get("customer", params.required("customer"), param="customer")
    params.texts("allowed_payment_method_types")
    method = _method(call, params.text("payment_method"), customer["id"])
    currency = params.currency("currency")
    intent = _blank(
        call,
        amount=params.amount("amount", currency, least=1),
        currency=currency,
        customer=customer["id"],
        description=params.text("description"),
        metadata=params.metadata(),
    )
    if method:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    call.put(intent, "payment_intent.created")
    if params.choice("confirm", ("true", "false"), "false") == "false":
        return intent
    return _confirmed(call, intent, method)


def retrieve(call: Call) -> Json:
    return call.get("payment_intent", call.id)


def list_all(call: Call) -> Json:
    return call.listed("payment_intent", where={"customer": call.params.text("customer")})


def confirm(call: Call) -> Json | Refused:
    intent = call.get("payment_intent", call.id)
    if intent["status"] == "succeeded":
        message = "You cannot confirm this PaymentIntent because it has already succeeded."
        raise Refused(message, code="payment_intent_unexpected_state", payment_intent=intent)
    method = _method(call, call.params.text("payment_method") or intent["payment_method"] or "", intent["customer"])
    return _confirmed(call, _open(intent, "confirm"), method)


def cancel(call: Call) -> Json:
    intent = _open(call.get("payment_intent", call.id), "cancel")
    cancelled = intent | {"status": "canceled", "canceled_at": call.clock.now(), "next_action": None}
    return call.put(cancelled, "payment_intent.canceled")


def authenticate(call: Call, *, proven: bool) -> Json:
    """The card's owner has answered their bank."""
    intent = call.get("payment_intent", call.id)
    if intent["status"] != "requires_action":
        return intent
    card = CARDS_BY_LAST4[call.get("payment_method", intent["payment_method"])["card"]["last4"]]
    if not proven:
        code = "payment_intent_authentication_failure"
        return _failed(call, intent, code=code, decline_code="", message="The owner of the card was not confirmed.")
    return _charged(call, intent, card)


def for_invoice(call: Call, invoice: Json, method: Json) -> Json:
    """The invoice's one payment, tried with this card; its status says what became of it."""
    if known := invoice["payments"]["data"]:
        intent = call.get("payment_intent", known[0]["payment"]["payment_intent"])
    else:
        of_invoice = {"amount": invoice["amount_due"], "currency": invoice["currency"], "customer": invoice["customer"]}
        intent = _blank(call, **of_invoice, description="", metadata={})
    _confirmed(call, intent, method)
    return call.get("payment_intent", intent["id"])


def _blank(
    call: Call, *, amount: int, currency: str, customer: str, description: str, metadata: dict[str, str]
) -> Json:
    id_ = new_id("pi")
    return {
        "id": id_,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{id_}_{new_id('secret')}",
        "confirmation_method": "automatic",
        "created": call.clock.now(),
        "currency": currency,
        "customer": customer,
        "description": description or None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": metadata,
        "next_action": None,
        "payment_method": None,
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
    }


def _method(call: Call, id_: str, customer: str) -> Json | None:
    """The card to charge. A magic card need not be attached; one of another customer's is unknown."""
    if not id_:
        return None
    if id_ in CARDS:
        card = CARDS[id_]
        return call.put(charges.payment_method(call, card, customer=None))
    method = call.objects.find("payment_method", id_)
    if method is None or method["customer"] not in (None, customer):
        raise missing("PaymentMethod", id_, param="payment_method", status=400)
    return method


def _open(intent: Json, act: str) -> Json:
    if intent["status"] not in _OPEN:
        message = f"You cannot {act} this PaymentIntent because it has a status of {intent['status']}."
        raise Refused(message, code="payment_intent_unexpected_state", payment_intent=intent)
    return intent


def _confirmed(call: Call, intent: Json, method: Json | None) -> Json | Refused:
    if method is None:
        message = "You cannot confirm this PaymentIntent because it's missing a payment method."
        raise Refused(message, code="payment_intent_unexpected_state")
    card = CARDS_BY_LAST4[method["card"]["last4"]]
    intent |= {"payment_method": method["id"], "last_payment_error": None}
    if card.challenged:
        url = f"{call.origin}/_emulator/authenticate/{intent['id']}?client_secret={intent['client_secret']}"
        action = {"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": None}}
        waiting = intent | {"status": "requires_action", "next_action": action}
        return call.put(waiting, "payment_intent.requires_action")
    after = _charged(call, intent, card)
    if after["status"] == "succeeded":
        return after
    error = dict(after["last_payment_error"])
    return Refused(error.pop("message"), status=402, type_=error.pop("type"), **error, payment_intent=after)


def _charged(call: Call, intent: Json, card: Card) -> Json:
    if card.refused_at != "never":
        return _failed(call, intent, code=card.code, decline_code=card.decline_code, message=card.message)
    charge = charges.create(call, intent)
    after = {"status": "succeeded", "amount_received": intent["amount"], "next_action": None}
    return call.put(intent | after | {"latest_charge": charge["id"]}, "payment_intent.succeeded")


def _failed(call: Call, intent: Json, *, code: str, decline_code: str, message: str) -> Json:
    charge = charges.create(call, intent, failure=(code, message))
    error = {"type": "card_error", "code": code, "decline_code": decline_code, "message": message}
    after = {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_payment_error": {name: value for name, value in error.items() if value},
        "latest_charge": charge["id"],
    }
    return call.put(intent | after, "payment_intent.payment_failed")
