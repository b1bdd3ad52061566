"""From a draft to a paid invoice: finalised, charged, tried again, settled or given up."""

from billing_svc.emulator import items, payment_intents
from billing_svc.emulator.alarms import PATIENCE_SECONDS
from billing_svc.emulator.call import Call
from billing_svc.emulator.invoicing import owed
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.refusals import Refused

_DAY = 24 * 60 * 60
# After the first failure; then the subscription is cancelled. Stripe's own times come from an account's settings.
_RETRY_AFTER = (3 * _DAY, 5 * _DAY, 7 * _DAY)

NO_CARD = "This customer has no attached payment source or default payment method."


def finalized(call: Call, invoice: Json) -> Json:
    """The invoice with its number, final and due; the customer's balance takes its part."""
    customer = call.get("customer", invoice["customer"])
    number = customer["next_invoice_sequence"]
    due = owed(invoice["total"], customer)
    call.put(customer | {"balance": due["ending_balance"], "next_invoice_sequence": number + 1})
    moments = invoice["status_transitions"] | {"finalized_at": call.clock.now()}
    final = {
        "status": "open",
        "number": f"{customer['invoice_prefix']}-{number:04}",
        "status_transitions": moments,
        "automatically_finalizes_at": None,
    }
    return call.put(invoice | due | final, "invoice.finalized")


def charge(call: Call, invoice: Json, card: Json | None) -> Refused | None:
    """Take the money for a final invoice and settle it, or say what stands in the way."""
    if not invoice["amount_due"]:
        _paid(call, invoice)
        return None
    if card is None:
        call.put(invoice | {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}, "invoice.payment_failed")
        return Refused(NO_CARD, code="resource_missing")
    intent = payment_intents.for_invoice(call, invoice, card)
    if intent["status"] == "succeeded":
        settle(call, intent, invoice)
        return None
    return _unpaid(call, invoice, intent)


def settle(call: Call, intent: Json, invoice: Json) -> None:
    """The payment of an invoice came in: note it, and go on with what waited for it."""
    _paid(call, invoice | {"payments": _payments(call, invoice, intent, paid=True)})


def of_intent(call: Call, intent: Json) -> Json | None:
    """The invoice that a payment is for."""
    where = {"customer": intent["customer"] or "", "payments.data[0].payment.payment_intent": intent["id"]}
    found = call.objects.newest("invoice", where=where)
    return found[0] if found else None


def void(call: Call, id_: str) -> None:
    """Nobody has to pay it any more."""
    invoice = call.get("invoice", id_)
    if invoice["status"] in ("draft", "open"):
        moments = invoice["status_transitions"] | {"voided_at": call.clock.now()}
        ended = {"status": "void", "next_payment_attempt": None, "amount_remaining": 0, "status_transitions": moments}
        call.put(invoice | ended, "invoice.voided")


def try_again(call: Call, invoice: Json, subscription: Json, card: Json | None) -> None:
    """Charge an invoice of the subscription that is due. One that fails too often ends its subscription."""
    if charge(call, invoice, card) is None:
        return
    failed = call.get("invoice", invoice["id"])
    tries = failed["attempt_count"]
    over = tries > len(_RETRY_AFTER)
    call.put(failed | {"next_payment_attempt": None if over else call.clock.now() + _RETRY_AFTER[tries - 1]})
    if over:
        end(call, subscription, reason="payment_failed")
    else:
        call.put(subscription | {"status": "past_due"}, "customer.subscription.updated")


def end(call: Call, subscription: Json, *, reason: str, feedback: str | None = None) -> Json:
    """Cancelled for good: nothing is charged any more. `reason` and `feedback` are Stripe's words."""
    if subscription["pending_update"] or subscription["status"] == "incomplete":
        void(call, subscription["latest_invoice"])
    for invoice in call.objects.newest(
        "invoice", where={"customer": subscription["customer"], "status": "open"}, limit=100
    ):
        if invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]:
            call.put(invoice | {"auto_advance": False, "next_payment_attempt": None})
    now = call.clock.now()
    status = "incomplete_expired" if subscription["status"] == "incomplete" else "canceled"
    ended = {"status": status, "canceled_at": subscription["canceled_at"] or now, "ended_at": now}
    released = {"schedule": None, "pending_update": None}
    why = {"cancellation_details": {"comment": None, "feedback": feedback, "reason": reason}}
    return call.put(subscription | ended | released | why, "customer.subscription.deleted")


def pending(call: Call, subscription: Json, changed: Json, invoice: Json) -> Json:
    """The subscription as it was, with what becomes of it once the invoice is paid."""
    item = changed["items"]["data"][0]
    expires = min(call.clock.now() + PATIENCE_SECONDS, subscription["items"]["data"][0]["current_period_end"])
    update = {
        "expires_at": expires,
        "subscription_items": [item],
        "billing_cycle_anchor": changed["billing_cycle_anchor"],
    }
    return subscription | {"pending_update": update, "latest_invoice": invoice["id"]}


def _paid(call: Call, invoice: Json) -> None:
    moments = invoice["status_transitions"] | {"paid_at": call.clock.now()}
    paid = {
        "status": "paid",
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "next_payment_attempt": None,
        "status_transitions": moments,
    }
    call.put(invoice | paid, "invoice.paid", "invoice.payment_succeeded")
    if subscription := _subscription(call, invoice):
        _go_on(call, subscription, invoice)


def _go_on(call: Call, subscription: Json, invoice: Json) -> None:
    """A subscription that waited for this payment has it."""
    if subscription["pending_update"] and subscription["latest_invoice"] == invoice["id"]:
        call.put(items.updated(subscription), "customer.subscription.updated")
    elif subscription["status"] in ("incomplete", "past_due"):
        call.put(subscription | {"status": "active"}, "customer.subscription.updated")


def _unpaid(call: Call, invoice: Json, intent: Json) -> Refused:
    """Note that it was tried; what the caller is told, if anybody waits for the answer."""
    error = dict(intent["last_payment_error"] or {})
    secret = {"client_secret": intent["client_secret"], "type": "payment_intent"}
    tried = {"attempted": True, "attempt_count": invoice["attempt_count"] + 1, "confirmation_secret": secret}
    fact = "invoice.payment_failed" if error else "invoice.payment_action_required"
    call.put(invoice | tried | {"payments": _payments(call, invoice, intent, paid=False)}, fact)
    if error:
        return Refused(error.pop("message"), status=402, type_=error.pop("type"), **error)
    message = "Payment for this subscription requires additional user action before it can be completed."
    return Refused(message, status=402, type_="card_error", code="subscription_payment_intent_requires_action")


def _payments(call: Call, invoice: Json, intent: Json, *, paid: bool) -> Json:
    now = call.clock.now()
    known = invoice["payments"]["data"]
    payment = {
        "id": known[0]["id"] if known else new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": invoice["amount_due"] if paid else None,
        "amount_requested": invoice["amount_due"],
        "created": now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
        "status": "paid" if paid else "open",
        "status_transitions": {"canceled_at": None, "paid_at": now if paid else None},
    }
    payments: Json = invoice["payments"] | {"data": [payment]}
    return payments


def _subscription(call: Call, invoice: Json) -> Json | None:
    """None while the subscription is being made, which is kept after its first invoice."""
    return call.objects.find("subscription", invoice["parent"]["subscription_details"]["subscription"])
