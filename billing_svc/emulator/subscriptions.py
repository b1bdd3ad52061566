"""Subscriptions: made and paid at once, or not made at all."""

from billing_svc.emulator import invoices
from billing_svc.emulator.call import Call
from billing_svc.emulator.clock import add_months
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.refusals import Refused, missing

_MONTHS = {"month": 1, "year": 12}
_LIVE = ["incomplete", "trialing", "active", "past_due", "unpaid", "paused"]


def create(call: Call) -> Json:
    params = call.params
    # What Stripe calls the others waits until somebody needs it; the default would leave a declined one behind.
    params.choice("payment_behavior", ("error_if_incomplete",), "")
    customer = call.get("customer", params.required("customer"), param="customer")
    price = _price(call)
    _refuse_coupons(call)
    _settle_currency(call, customer, price["currency"])
    card = _card(call, customer)
    subscription = _begin(call, customer, price, card)
    subscription["latest_invoice"] = invoices.charge_first_period(call, customer, subscription, card)["id"]
    return call.put(subscription, "customer.subscription.created")


def retrieve(call: Call) -> Json:
    return call.get("subscription", call.id)


def cancel(call: Call) -> Json:
    """At once. What is left of the period is neither paid back nor invoiced, which is Stripe's default."""
    subscription = call.get("subscription", call.id)
    if subscription["status"] not in _LIVE:
        raise missing("subscription", call.id)
    now = call.clock.now()
    ended = subscription | {"status": "canceled", "canceled_at": now, "ended_at": now}
    return call.put(ended, "customer.subscription.deleted")


def list_all(call: Call) -> Json:
    """Without a status: those that have not ended."""
    status = call.params.text("status")
    among = {"": _LIVE, "all": []}.get(status, [status])
    return call.listed("subscription", where={"customer": call.params.text("customer")}, among={"status": among})


def _price(call: Call) -> Json:
    match call.params.children("items"):
        case [item]:
            if item.integer("quantity", 1, least=1) != 1:
                raise Refused("The emulator knows a quantity of 1 only.", param="items[0][quantity]")
            return call.get("price", item.required("price"), param="items[0][price]")
        case _:
            raise Refused("The emulator knows subscriptions of exactly one item.", param="items")


def _refuse_coupons(call: Call) -> None:
    for discount in call.params.children("discounts"):
        raise missing("coupon", discount.required("coupon"), param="discounts[0][coupon]", status=400)


def _settle_currency(call: Call, customer: Json, currency: str) -> None:
    """A customer pays in one currency for ever: that of the first subscription."""
    if customer["currency"] not in (None, currency):
        raise Refused("You cannot combine currencies on a single customer.", param="currency")
    call.put(customer | {"currency": currency})


def _card(call: Call, customer: Json) -> Json:
    id_ = call.params.text("default_payment_method")
    method = call.objects.find("payment_method", id_ or customer["invoice_settings"]["default_payment_method"] or "")
    if id_ and (method is None or method["customer"] != customer["id"]):
        raise missing("PaymentMethod", id_, param="default_payment_method", status=400)
    if method is None:
        message = "This customer has no attached payment source or default payment method."
        raise Refused(message, code="resource_missing")
    return method


def _begin(call: Call, customer: Json, price: Json, card: Json) -> Json:
    now = call.clock.now()
    id_ = new_id("sub")
    item = {
        "id": new_id("si"),
        "object": "subscription_item",
        "created": now,
        "current_period_start": now,
        "current_period_end": add_months(now, _MONTHS[price["recurring"]["interval"]]),
        "metadata": {},
        "price": price,
        "quantity": 1,
        "subscription": id_,
    }
    url = f"/v1/subscription_items?subscription={id_}"
    return {
        "id": id_,
        "object": "subscription",
        "billing_cycle_anchor": now,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "collection_method": "charge_automatically",
        "created": now,
        "currency": price["currency"],
        "customer": customer["id"],
        "default_payment_method": card["id"],
        "discounts": [],
        "ended_at": None,
        "items": {"object": "list", "url": url, "has_more": False, "total_count": 1, "data": [item]},
        "latest_invoice": None,
        "livemode": False,
        "metadata": call.params.metadata(),
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "active",
        "test_clock": None,
        "trial_end": None,
        "trial_start": None,
    }
