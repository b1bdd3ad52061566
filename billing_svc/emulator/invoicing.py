"""What stands on an invoice: its lines, what is deducted, what the customer's balance takes over."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from billing_svc.emulator import coupons
from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json, new_id

# Stripe leaves a renewal's invoice open to changes for an hour.
_DRAFT_SECONDS = 60 * 60


@dataclass(frozen=True, slots=True)
class Charge:
    """A line to be: an amount for a span of time. A proration's amount has its discounts in it already."""

    amount: int
    description: str
    start: int
    end: int
    price: Json | None = None
    proration: bool = False
    # The invoice item that it comes from; empty: the subscription's own.
    invoice_item: str = ""
    deducted: Sequence[Json] = ()


def period_charge(call: Call, item: Json) -> Charge:
    """The full price of the item's period; a trial's costs nothing."""
    price = item["price"]
    name = call.get("product", price["product"])["name"]
    description = f"{item['quantity']} × {name} (each {price['recurring']['interval']})"
    start, end = item["current_period_start"], item["current_period_end"]
    return Charge(price["unit_amount"] * item["quantity"], description, start, end, price)


def pending_charges(call: Call, subscription: Json) -> list[Charge]:
    """Of the invoice items that wait for the subscription's next invoice."""
    items = call.objects.newest("invoiceitem", where={"customer": subscription["customer"]}, limit=1000)[::-1]
    return [
        Charge(
            item["amount"], item["description"], item["period"]["start"], item["period"]["end"], invoice_item=item["id"]
        )
        for item in items
        if item["invoice"] is None and item["parent"]["subscription_details"]["subscription"] == subscription["id"]
    ]


def discounted(call: Call, charges: Sequence[Charge], discounts: Sequence[Json]) -> list[Charge]:
    """The charges with what each is reduced by; prorations and what came from elsewhere stay as they are."""
    open_to = [not charge.proration and not charge.invoice_item for charge in charges]
    amounts = [charge.amount if may else 0 for charge, may in zip(charges, open_to, strict=True)]
    deductions = coupons.deducted(call, discounts, amounts)
    return [
        replace(charge, deducted=deducted) if may else charge
        for charge, deducted, may in zip(charges, deductions, open_to, strict=True)
    ]


def drafted(call: Call, customer: Json, subscription: Json, charges: Sequence[Charge], *, reason: str) -> Json:
    """An invoice that nobody has kept yet. `reason`: Stripe's `billing_reason`."""
    now, id_ = call.clock.now(), new_id("in")
    subtotal = sum(charge.amount for charge in charges)
    total = subtotal - sum(each["amount"] for charge in charges for each in charge.deducted)
    lines = [_line(charge, id_, subscription) for charge in charges]
    return {
        "id": id_,
        "object": "invoice",
        "auto_advance": True,
        "automatically_finalizes_at": now + _DRAFT_SECONDS,
        "attempt_count": 0,
        "attempted": False,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "confirmation_secret": None,
        "created": now,
        "currency": subscription["currency"],
        "customer": customer["id"],
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "lines": {"object": "list", "url": f"/v1/invoices/{id_}/lines", "has_more": False, "data": lines},
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "parent": _parent(subscription),
        "payments": {"object": "list", "url": f"/v1/invoice_payments?invoice={id_}", "has_more": False, "data": []},
        "period_start": now,
        "period_end": now,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": subtotal,
        "test_clock": customer["test_clock"],
        "total": total,
        "total_discount_amounts": [each for charge in charges for each in charge.deducted],
        "total_excluding_tax": total,
        "total_taxes": [],
    } | owed(total, customer)


def owed(total: int, customer: Json) -> Json:
    """What is to be paid after the customer's balance: credit is used up first, and a negative total becomes credit."""
    balance = customer["balance"]
    due = max(0, total + balance)
    return {
        "amount_due": due,
        "amount_paid": 0,
        "amount_remaining": due,
        "starting_balance": balance,
        "ending_balance": total + balance - due,
    }


def take_items(call: Call, charges: Sequence[Charge], invoice: Json) -> None:
    """Note on the invoice items which invoice they went on."""
    for charge in charges:
        if charge.invoice_item:
            call.put(call.get("invoiceitem", charge.invoice_item) | {"invoice": invoice["id"]}, "invoiceitem.updated")


def _parent(subscription: Json) -> Json:
    details = {"subscription": subscription["id"], "metadata": subscription["metadata"]}
    return {"type": "subscription_details", "quote_details": None, "subscription_details": details}


def _line(charge: Charge, invoice: str, subscription: Json) -> Json:
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": charge.amount,
        "currency": subscription["currency"],
        "description": charge.description,
        "discount_amounts": list(charge.deducted),
        "discountable": not charge.proration and not charge.invoice_item,
        "discounts": [each["discount"] for each in charge.deducted],
        "invoice": invoice,
        "livemode": False,
        "metadata": {},
        "parent": _line_parent(charge, subscription),
        "period": {"start": charge.start, "end": charge.end},
        "pricing": _pricing(charge.price) if charge.price else None,
        "quantity": 1,
        "subtotal": charge.amount,
        "taxes": [],
    }


def _line_parent(charge: Charge, subscription: Json) -> Json:
    kind = "invoice_item_details" if charge.invoice_item else "subscription_item_details"
    details: dict[str, Any] = {"subscription": subscription["id"], "proration": charge.proration}
    details |= (
        {"invoice_item": charge.invoice_item}
        if charge.invoice_item
        else {"subscription_item": subscription["items"]["data"][0]["id"]}
    )
    return {"type": kind, "invoice_item_details": None, "subscription_item_details": None, kind: details}


def _pricing(price: Json) -> Json:
    return {
        "type": "price_details",
        "price_details": {"price": price["id"], "product": price["product"]},
        "unit_amount_decimal": price["unit_amount_decimal"],
    }
