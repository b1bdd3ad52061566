"""Setup intents: keep a card for later, without charging it."""

from billing_svc.emulator import customers
from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.refusals import Refused


def create(call: Call) -> Json:
    params = call.params
    customer = call.get("customer", params.required("customer"), param="customer")
    params.texts("allowed_payment_method_types")
    id_ = new_id("seti")
    intent = {
        "id": id_,
        "object": "setup_intent",
        "client_secret": f"{id_}_{new_id('secret')}",
        "created": call.clock.now(),
        "customer": customer["id"],
        "livemode": False,
        "metadata": params.metadata(),
        "payment_method": None,
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
        "usage": params.choice("usage", ("off_session", "on_session"), "off_session"),
    }
    return call.put(intent, "setup_intent.created")


def retrieve(call: Call) -> Json:
    return call.get("setup_intent", call.id)


def confirm(call: Call) -> Json:
    """Attach the card, as Stripe's own form does once somebody has filled it in."""
    intent = call.get("setup_intent", call.id)
    if intent["status"] != "requires_payment_method":
        message = f"You cannot confirm this SetupIntent because it has a status of {intent['status']}."
        raise Refused(message, code="setup_intent_unexpected_state")
    method = customers.attach(call, call.params.required("payment_method"), intent["customer"])
    return call.put(intent | {"payment_method": method["id"], "status": "succeeded"}, "setup_intent.succeeded")
