"""Invoices, the payments that settle them, and the card that is charged."""

from billing_svc.emulator import payment_intents
from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json, new_id

_FACTS = ("invoice.created", "invoice.finalized", "invoice.paid", "invoice.payment_succeeded")


def retrieve(call: Call) -> Json:
    return _shown(call.get("invoice", call.id), expanded="payments" in call.params.texts("expand"))


def list_all(call: Call) -> Json:
    params = call.params
    where = {"customer": params.text("customer"), "status": params.text("status")}
    where["parent.subscription_details.subscription"] = params.text("subscription")
    page = call.listed("invoice", where=where)
    expanded = "data.payments" in params.texts("expand")
    return page | {"data": [_shown(invoice, expanded=expanded) for invoice in page["data"]]}


def charge_first_period(call: Call, customer: Json, subscription: Json, card: Json) -> Json:
    """Bill the subscription's first period and take the money; the bank's refusal undoes the whole request."""
    invoice = _finalized(call, customer, subscription)
    if invoice["total"]:
        _pay(call, invoice, card)
    return call.put(invoice, *_FACTS)


def _finalized(call: Call, customer: Json, subscription: Json) -> Json:
    now = call.clock.now()
    id_ = new_id("in")
    item = subscription["items"]["data"][0]
    total = item["price"]["unit_amount"] * item["quantity"]
    number = call.objects.count("invoice", where={"customer": customer["id"]}) + 1
    lines = [_line(call, subscription, item, id_)]
    return {
        "id": id_,
        "object": "invoice",
        "amount_due": total,
        "amount_paid": total,
        "amount_remaining": 0,
        "attempt_count": 1,
        "attempted": True,
        "billing_reason": "subscription_create",
        "collection_method": "charge_automatically",
        "created": now,
        "currency": subscription["currency"],
        "customer": customer["id"],
        "ending_balance": 0,
        # There is no page to show yet, and a draft's is null too.
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "lines": {"object": "list", "url": f"/v1/invoices/{id_}/lines", "has_more": False, "data": lines},
        "livemode": False,
        "metadata": {},
        "number": f"{customer['invoice_prefix']}-{number:04}",
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {"subscription": subscription["id"], "metadata": subscription["metadata"]},
        },
        "payments": {"object": "list", "url": f"/v1/invoice_payments?invoice={id_}", "has_more": False, "data": []},
        "period_start": now,
        "period_end": now,
        "starting_balance": 0,
        "status": "paid",
        "status_transitions": {
            "finalized_at": now,
            "marked_uncollectible_at": None,
            "paid_at": now,
            "voided_at": None,
        },
        "subtotal": total,
        "total": total,
        "total_excluding_tax": total,
        "total_taxes": [],
    }


def _line(call: Call, subscription: Json, item: Json, invoice: str) -> Json:
    price = item["price"]
    product = call.get("product", price["product"])
    amount = price["unit_amount"] * item["quantity"]
    details = {"subscription": subscription["id"], "subscription_item": item["id"], "proration": False}
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": f"{item['quantity']} × {product['name']} (each {price['recurring']['interval']})",
        "discountable": True,
        "invoice": invoice,
        "livemode": False,
        "metadata": {},
        "parent": {"type": "subscription_item_details", "subscription_item_details": details},
        "period": {"start": item["current_period_start"], "end": item["current_period_end"]},
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": product["id"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": item["quantity"],
        "subtotal": amount,
        "taxes": [],
    }


def _pay(call: Call, invoice: Json, card: Json) -> None:
    intent = payment_intents.paid(
        call, amount=invoice["total"], currency=invoice["currency"], customer=invoice["customer"], method=card
    )
    invoice["payments"]["data"].append(
        {
            "id": new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": invoice["total"],
            "amount_requested": invoice["total"],
            "created": invoice["created"],
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
            "status": "paid",
            "status_transitions": {"canceled_at": None, "paid_at": invoice["created"]},
        }
    )


def _shown(invoice: Json, *, expanded: bool) -> Json:
    """Stripe shows an invoice's payments only to those who expand them."""
    return invoice if expanded else {name: value for name, value in invoice.items() if name != "payments"}
