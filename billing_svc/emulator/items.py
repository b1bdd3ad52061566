"""A subscription's one item: which price it has, and for which period."""

from billing_svc.emulator.clock import period_end
from billing_svc.emulator.objects import Json


def item_of(subscription: Json) -> Json:
    item: Json = subscription["items"]["data"][0]
    return item


def with_item(subscription: Json, **changed: object) -> Json:
    """The subscription with something else in its item."""
    return subscription | {"items": subscription["items"] | {"data": [item_of(subscription) | changed]}}


def with_price(subscription: Json, price: Json, *, now: int) -> Json:
    """The subscription with another price; another interval begins a period of its own now, but not within a trial."""
    before = item_of(subscription)["price"]["recurring"]["interval"]
    if before == price["recurring"]["interval"] or subscription["status"] == "trialing":
        return with_item(subscription, price=price)
    end = period_end(now, price["recurring"]["interval"], after=now)
    changed = with_item(subscription, price=price, current_period_start=now, current_period_end=end)
    return changed | {"billing_cycle_anchor": now}


def with_next_period(subscription: Json) -> Json:
    """The subscription in the period that follows."""
    item = item_of(subscription)
    start = item["current_period_end"]
    end = period_end(subscription["billing_cycle_anchor"], item["price"]["recurring"]["interval"], after=start)
    return with_item(subscription, current_period_start=start, current_period_end=end)


def updated(subscription: Json) -> Json:
    """The subscription with its pending update done."""
    update = subscription["pending_update"]
    items = subscription["items"] | {"data": update["subscription_items"]}
    anchor = update["billing_cycle_anchor"]
    return subscription | {"items": items, "billing_cycle_anchor": anchor, "pending_update": None}
