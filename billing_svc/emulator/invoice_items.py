"""Amounts that wait for a subscription's next invoice: overage, for example."""

from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.refusals import Refused


def create(call: Call) -> Json:
    params = call.params
    customer = call.get("customer", params.required("customer"), param="customer")
    subscription = call.get("subscription", params.required("subscription"), param="subscription")
    if subscription["customer"] != customer["id"]:
        raise Refused("The subscription is another customer's.", param="subscription")
    call = call.on_clock_of(customer)
    now, period, currency = call.clock.now(), params.child("period"), params.currency("currency")
    item = {
        "id": new_id("ii"),
        "object": "invoiceitem",
        "amount": params.amount("amount", currency),
        "currency": currency,
        "customer": customer["id"],
        "date": now,
        "description": params.text("description") or None,
        "discountable": params.boolean("discountable"),
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": params.metadata(),
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"subscription": subscription["id"], "subscription_item": None},
        },
        "period": {"start": period.integer("start", now, most=2**40), "end": period.integer("end", now, most=2**40)},
        "proration": False,
        "quantity": 1,
        "test_clock": customer["test_clock"],
    }
    if item["currency"] != subscription["currency"]:
        raise Refused("The item is in another currency than the subscription.", param="currency")
    return call.put(item, "invoiceitem.created")


def retrieve(call: Call) -> Json:
    return call.get("invoiceitem", call.id)


def list_all(call: Call) -> Json:
    return call.listed("invoiceitem", where={"customer": call.params.text("customer")})


def delete(call: Call) -> Json:
    """Take back one that is on no invoice yet."""
    item = call.get("invoiceitem", call.id)
    if item["invoice"]:
        raise Refused("The invoice item is on an invoice already.", param="id")
    call.objects.delete(call.id)
    return {"id": call.id, "object": "invoiceitem", "deleted": True}
