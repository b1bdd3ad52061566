"""Subscriptions: made, found, ended and taken up again. How they change is in `changes`, how they age in `passing`."""

from billing_svc.emulator import collecting, coupons, invoicing
from billing_svc.emulator.call import Call
from billing_svc.emulator.clock import period_end
from billing_svc.emulator.invoicing import Charge
from billing_svc.emulator.items import item_of, with_item
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.refusals import Refused, missing

NOT_CANCELLED = {"comment": None, "feedback": None, "reason": None}
LIVE = ("incomplete", "trialing", "active", "past_due", "unpaid", "paused")
_DAY = 24 * 60 * 60
_FEEDBACK = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)


def create(call: Call) -> Json:
    params = call.params
    # What Stripe calls the default would leave a declined one behind.
    behavior = params.choice("payment_behavior", ("error_if_incomplete", "allow_incomplete"), "")
    customer = call.get("customer", params.required("customer"), param="customer")
    call = call.on_clock_of(customer)
    price = price_of(call)
    subscription = _begin(call, customer, price)
    customer = _settle_currency(call, customer, price["currency"])
    discounts = coupons.redeemed(call, customer, subscription["id"], price["currency"])
    subscription["discounts"] = [each["id"] for each in discounts]
    card = card_of(call, customer, subscription)
    if card is None and subscription["status"] != "trialing":
        raise Refused(collecting.NO_CARD, code="resource_missing")
    return _charge_first(call, customer, subscription, card, behavior)


def retrieve(call: Call) -> Json:
    return call.get("subscription", call.id)


def cancel(call: Call) -> Json:
    """At once. What is left of the period is neither paid back nor invoiced, which is Stripe's default."""
    subscription, said = live(call), feedback(call)
    call = call.on_clock_of(call.get("customer", subscription["customer"]))
    return collecting.end(call, subscription, reason="cancellation_requested", feedback=said)


def resume(call: Call) -> Json:
    """Take up one that paused for want of a card: a new period begins now, and is paid."""
    call.params.choice("payment_behavior", ("resume_on_payment_success",), "resume_on_payment_success")
    subscription = live(call)
    if subscription["status"] != "paused":
        raise Refused("The subscription is not paused.", param="id")
    customer = call.get("customer", subscription["customer"])
    call = call.on_clock_of(customer)
    card = card_of(call, customer, subscription)
    if card is None:
        raise Refused(collecting.NO_CARD, code="resource_missing")
    now = call.clock.now()
    end = period_end(now, item_of(subscription)["price"]["recurring"]["interval"], after=now)
    resumed = with_item(subscription, current_period_start=now, current_period_end=end)
    resumed |= {"status": "active", "billing_cycle_anchor": now}
    invoice = first_invoice(call, customer, resumed, reason="subscription_update")
    if refused := collecting.charge(call, invoice, card):
        raise refused
    return call.put(resumed | {"latest_invoice": invoice["id"]}, "customer.subscription.resumed")


def list_all(call: Call) -> Json:
    """Without a status: those that have not ended."""
    status = call.params.text("status")
    among = {"": list(LIVE), "all": []}.get(status, [status])
    return call.listed("subscription", where={"customer": call.params.text("customer")}, among={"status": among})


def live(call: Call) -> Json:
    """The subscription in the path, if it has not ended."""
    subscription = call.get("subscription", call.id)
    if subscription["status"] not in LIVE:
        raise missing("subscription", call.id)
    return subscription


def price_of(call: Call) -> Json:
    """The price that the request's one item asks for."""
    match call.params.children("items"):
        case [item]:
            item.text("id")
            if item.integer("quantity", 1, least=1) != 1:
                raise Refused("The emulator knows a quantity of 1 only.", param="items[0][quantity]")
            return call.get("price", item.required("price"), param="items[0][price]")
        case _:
            raise Refused("The emulator knows subscriptions of exactly one item.", param="items")


def feedback(call: Call) -> str | None:
    """Why the customer leaves, if the request says so."""
    return call.params.child("cancellation_details").choice("feedback", ("", *_FEEDBACK), "") or None


def card_of(call: Call, customer: Json, subscription: Json) -> Json | None:
    """What is charged for the subscription: its own card, else the customer's."""
    default = customer["invoice_settings"]["default_payment_method"]
    return call.objects.find("payment_method", subscription["default_payment_method"] or default or "")


def first_invoice(call: Call, customer: Json, subscription: Json, *, reason: str) -> Json:
    """The invoice for the period that the subscription is in, final and due at once."""
    charges = [invoicing.period_charge(call, item_of(subscription))]
    if subscription["status"] == "trialing":
        charges = [Charge(0, "Trial period", charges[0].start, charges[0].end, charges[0].price)]
    charges = invoicing.discounted(call, charges, coupons.of(call, subscription))
    draft = invoicing.drafted(call, customer, subscription, charges, reason=reason)
    return collecting.finalized(call, call.put(draft, "invoice.created"))


def _charge_first(call: Call, customer: Json, subscription: Json, card: Json | None, behavior: str) -> Json:
    """Bill the first period; the bank's refusal undoes the whole request, or leaves the subscription incomplete."""
    invoice = first_invoice(call, customer, subscription, reason="subscription_create")
    refused = collecting.charge(call, invoice, card)
    if refused and behavior == "error_if_incomplete":
        raise refused
    if refused:
        subscription["status"] = "incomplete"
    if invoice["subtotal"]:
        subscription["discounts"] = coupons.after_use(call, coupons.of(call, subscription))
    subscription["latest_invoice"] = invoice["id"]
    return call.put(subscription, "customer.subscription.created")


def _settle_currency(call: Call, customer: Json, currency: str) -> Json:
    """A customer pays in one currency for ever: that of the first subscription."""
    if customer["currency"] not in (None, currency):
        raise Refused("You cannot combine currencies on a single customer.", param="currency")
    return call.put(customer | {"currency": currency})


def named_card(call: Call, customer: Json) -> str | None:
    """The id of the card that the request names, which must be the customer's."""
    id_ = call.params.text("default_payment_method")
    method = call.objects.find("payment_method", id_)
    if id_ and (method is None or method["customer"] != customer["id"]):
        raise missing("PaymentMethod", id_, param="default_payment_method", status=400)
    return id_ or None


def _begin(call: Call, customer: Json, price: Json) -> Json:
    """A subscription that nobody has kept yet, in its first period or its trial."""
    now, id_ = call.clock.now(), new_id("sub")
    interval = price["recurring"]["interval"]
    days = call.params.integer("trial_period_days", 0, least=1, most=730)
    end = now + days * _DAY if days else period_end(now, interval, after=now)
    ends = call.params.child("trial_settings").child("end_behavior")
    missing_card = ends.choice("missing_payment_method", ("create_invoice", "cancel", "pause"), "create_invoice")
    item = {
        "id": new_id("si"),
        "object": "subscription_item",
        "created": now,
        "current_period_start": now,
        "current_period_end": end,
        "metadata": {},
        "price": price,
        "quantity": 1,
        "subscription": id_,
    }
    url = f"/v1/subscription_items?subscription={id_}"
    return {
        "id": id_,
        "object": "subscription",
        "billing_cycle_anchor": end if days else now,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": NOT_CANCELLED,
        "collection_method": "charge_automatically",
        "created": now,
        "currency": price["currency"],
        "customer": customer["id"],
        "default_payment_method": named_card(call, customer),
        "discounts": [],
        "ended_at": None,
        "items": {"object": "list", "url": url, "has_more": False, "total_count": 1, "data": [item]},
        "latest_invoice": None,
        "livemode": False,
        "metadata": call.params.metadata(),
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "trialing" if days else "active",
        "test_clock": customer["test_clock"],
        "trial_end": end if days else None,
        "trial_settings": {"end_behavior": {"missing_payment_method": missing_card}},
        "trial_start": now if days else None,
    }
