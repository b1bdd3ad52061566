"""What changes in a subscription: its price with what that costs now, its end, its card, its discounts.

The preview of a change is made by the same functions as the change, so it says what is charged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from billing_svc.emulator import collecting, coupons, invoicing
from billing_svc.emulator.call import Call
from billing_svc.emulator.invoicing import Charge
from billing_svc.emulator.items import item_of, with_price
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.params import Params
from billing_svc.emulator.proration import share
from billing_svc.emulator.refusals import Refused
from billing_svc.emulator.subscriptions import LIVE, NOT_CANCELLED, card_of, feedback, live, named_card, price_of


@dataclass(frozen=True, slots=True)
class Change:
    """Another price, from a moment on, with the discounts that the subscription has then."""

    price: Json
    since: int
    discounts: Sequence[Json]


def update(call: Call) -> Json:
    subscription = live(call)
    customer = call.get("customer", subscription["customer"])
    call = call.on_clock_of(customer)
    subscription = _with_discounts(call, customer, _with_settings(call, customer, _with_end(call, subscription)))
    if call.params.given("items"):
        return _change_price(call, customer, subscription)
    return call.put(subscription, "customer.subscription.updated")


def void_invoice(call: Call) -> Json:
    """Nobody has to pay the invoice any more; a change that waited for it is dropped."""
    invoice = call.get("invoice", call.id)
    if invoice["status"] != "open":
        raise Refused("You can only void an invoice that is open.", param="id")
    subscription = call.get("subscription", invoice["parent"]["subscription_details"]["subscription"])
    call = call.on_clock_of(call.get("customer", invoice["customer"]))
    if subscription["pending_update"] and subscription["latest_invoice"] == invoice["id"]:
        call.put(subscription | {"pending_update": None}, "customer.subscription.updated")
    collecting.void(call, invoice["id"])
    return call.get("invoice", invoice["id"])


def preview(call: Call) -> Json:
    """The invoice that an update with the same parameters would make now; nothing of it is kept."""
    params = call.params
    subscription = call.get("subscription", params.required("subscription"), param="subscription")
    if customer_id := params.text("customer"):
        call.get("customer", customer_id, param="customer")
    customer = call.get("customer", subscription["customer"])
    inner = replace(call.on_clock_of(customer), params=params.child("subscription_details"))
    # Discounts stand beside the details here.
    with call.objects.undone():
        subscription = _with_discounts(replace(inner, params=params), customer, subscription)
        change = _change(inner, subscription, inner.params)
        invoice = _invoice(inner, customer, subscription, change, _charges(inner, subscription, change))
    invoice["parent"]["subscription_details"]["subscription_proration_date"] = change.since
    return invoice | {"id": new_id("upcoming_in")}


def _with_end(call: Call, subscription: Json) -> Json:
    """With or without an end at the end of the period."""
    if not call.params.given("cancel_at_period_end"):
        return subscription
    if subscription["schedule"]:
        message = f"The subscription is managed by the subscription schedule `{subscription['schedule']}`."
        raise Refused(message, param="cancel_at_period_end")
    if not call.params.boolean("cancel_at_period_end"):
        going_on = {"cancel_at_period_end": False, "cancel_at": None, "canceled_at": None}
        return subscription | going_on | {"cancellation_details": NOT_CANCELLED}
    end = item_of(subscription)["current_period_end"]
    ending = {"cancel_at_period_end": True, "cancel_at": end, "canceled_at": call.clock.now()}
    why = {"comment": None, "feedback": feedback(call), "reason": "cancellation_requested"}
    return subscription | ending | {"cancellation_details": why}


def _with_settings(call: Call, customer: Json, subscription: Json) -> Json:
    card = named_card(call, customer) or subscription["default_payment_method"]
    metadata = subscription["metadata"] | call.params.metadata()
    return subscription | {"default_payment_method": card, "metadata": metadata}


def _with_discounts(call: Call, customer: Json, subscription: Json) -> Json:
    """The discounts that are named take the place of all that were there."""
    if not call.params.given("discounts"):
        return subscription
    found = coupons.redeemed(call, customer, subscription["id"], subscription["currency"])
    return subscription | {"discounts": [each["id"] for each in found]}


def _change(call: Call, subscription: Json, params: Params) -> Change:
    item, now = item_of(subscription), call.clock.now()
    price = price_of(call)
    if price["currency"] != subscription["currency"]:
        raise Refused("The price is in another currency than the subscription.", param="items[0][price]")
    params.choice("proration_behavior", ("always_invoice",), "always_invoice")
    bounds = {"least": item["current_period_start"], "most": min(now, item["current_period_end"])}
    since = params.integer("proration_date", now, **bounds)
    return Change(price, since, coupons.of(call, subscription))


def _change_price(call: Call, customer: Json, subscription: Json) -> Json:
    """Invoice the difference at once and have it paid, or leave the subscription as it was."""
    behaviors = ("error_if_incomplete", "pending_if_incomplete")
    behavior = call.params.choice("payment_behavior", behaviors, "error_if_incomplete")
    _refuse_beside_pending(call, behavior)
    if subscription["pending_update"]:
        collecting.void(call, subscription["latest_invoice"])
        subscription = subscription | {"pending_update": None}
    change = _change(call, subscription, call.params)
    changed = with_price(subscription, change.price, now=call.clock.now())
    charges = _charges(call, subscription, change)
    if not charges:
        return call.put(changed, "customer.subscription.updated")
    draft = call.put(_invoice(call, customer, subscription, change, charges), "invoice.created")
    invoicing.take_items(call, charges, draft)
    invoice = collecting.finalized(call, draft)
    refused = collecting.charge(call, invoice, card_of(call, customer, subscription))
    if refused and behavior == "error_if_incomplete":
        raise refused
    if refused:
        return call.put(collecting.pending(call, subscription, changed, invoice), "customer.subscription.updated")
    used = {"latest_invoice": invoice["id"], "discounts": coupons.after_use(call, change.discounts)}
    return call.put(changed | used, "customer.subscription.updated")


def _refuse_beside_pending(call: Call, behavior: str) -> None:
    # https://docs.stripe.com/billing/subscriptions/pending-updates-reference
    for name in ("discounts", "metadata", "cancel_at_period_end", "default_payment_method"):
        if behavior == "pending_if_incomplete" and call.params.given(name):
            raise Refused(f"`{name}` cannot be changed with pending_if_incomplete.", param=name)


def _charges(call: Call, subscription: Json, change: Change) -> list[Charge]:
    """Nothing within a trial, or for the same price; else what is left of the old price and what the new one costs."""
    item = item_of(subscription)
    if (
        subscription["status"] not in LIVE
        or subscription["status"] == "trialing"
        or item["price"]["id"] == change.price["id"]
    ):
        return []
    charges = [*_credit(call, subscription, change.since), _debit(call, subscription, change)]
    return [*charges, *invoicing.pending_charges(call, subscription)]


def _invoice(call: Call, customer: Json, subscription: Json, change: Change, charges: Sequence[Charge]) -> Json:
    charges = invoicing.discounted(call, charges, change.discounts)
    return invoicing.drafted(call, customer, subscription, charges, reason="subscription_update")


def _credit(call: Call, subscription: Json, since: int) -> list[Charge]:
    """What was charged for the time that is left: never more than that was, whatever the price is."""
    item = item_of(subscription)
    end = item["current_period_end"]
    where = {"customer": subscription["customer"], "parent.subscription_details.subscription": subscription["id"]}
    for invoice in call.objects.newest("invoice", where=where, limit=100):
        for line in invoice["lines"]["data"]:
            if invoice["status"] != "void" and _is_for(line, item):
                paid = line["amount"] - sum(each["amount"] for each in line["discount_amounts"])
                left = share(paid, subscription["currency"], start=line["period"]["start"], end=end, since=since)
                return [Charge(-left, f"Unused time on {_name(call, item['price'])}", since, end, item["price"], True)]
    return []


def _is_for(line: Json, item: Json) -> bool:
    """Whether the line charged the item's price up to the end of its period."""
    price = line["pricing"]["price_details"]["price"] if line["pricing"] else ""
    to_the_end = line["period"]["end"] == item["current_period_end"]
    return bool(line["amount"] > 0 and price == item["price"]["id"] and to_the_end)


def _debit(call: Call, subscription: Json, change: Change) -> Charge:
    """The rest of the running period at the new price; a whole one where the interval changes."""
    item, changed = item_of(subscription), item_of(with_price(subscription, change.price, now=call.clock.now()))
    if changed["current_period_start"] != item["current_period_start"]:
        return invoicing.period_charge(call, changed)
    start, end = item["current_period_start"], item["current_period_end"]
    amount = change.price["unit_amount"]
    net = amount - sum(each["amount"] for each in coupons.deducted(call, change.discounts, [amount])[0])
    left = share(net, subscription["currency"], start=start, end=end, since=change.since)
    return Charge(left, f"Remaining time on {_name(call, change.price)}", change.since, end, change.price, True)


def _name(call: Call, price: Json) -> str:
    name: str = call.get("product", price["product"])["name"]
    return name
