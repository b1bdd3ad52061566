"""A subscription's row as Stripe has it: where it stands, what follows, and what must be confirmed."""

from datetime import UTC, datetime
from fractions import Fraction

import stripe

from billing_svc.driver.changes import phases_of
from billing_svc.models import Subscription
from billing_svc.money import half_up


def copy(row: Subscription, theirs: stripe.Subscription) -> None:
    """Bring our row up to date; theirs comes with its schedule and its latest invoice in full."""
    item = theirs.items.data[0]
    row.stripe_id = theirs.id
    row.status = theirs.status
    row.plan_id = _plan_of(item.price, row.plan_id)
    row.interval = _interval_of(item.price, row.interval)
    row.currency = theirs.currency
    row.amount_minor = item.price.unit_amount or 0
    row.discount_minor = row.amount_minor - _left_by_coupons(theirs, row.amount_minor)
    row.current_period_start = _time(item.current_period_start)
    row.current_period_end = _time(item.current_period_end)
    row.cancel_at_period_end = theirs.cancel_at_period_end
    row.trial_end = _time(theirs.trial_end)
    row.canceled_at = _time(theirs.canceled_at)
    row.cancel_reason, row.cancel_feedback = _why_it_ends(theirs)
    row.pending_plan_id, row.pending_interval, row.pending_at = _pending(theirs)
    row.client_secret = _client_secret(theirs)


def _pending(theirs: stripe.Subscription) -> tuple[str, str, datetime | None]:
    """The plan and interval that follow, and when: None while they wait for a payment."""
    if theirs.pending_update and theirs.pending_update.subscription_items:
        price = theirs.pending_update.subscription_items[0].price
        return _plan_of(price, ""), _interval_of(price, ""), None
    schedule = theirs.schedule
    if not isinstance(schedule, stripe.SubscriptionSchedule) or schedule.status != "active":
        return "", "", None
    running, following = phases_of(schedule)
    if following is None:  # it was entered, or a crash came before it was made
        return "", "", None
    noted = schedule.metadata.to_dict() if schedule.metadata else {}
    return noted.get("plan_id", ""), noted.get("interval", ""), _time(running.end_date)


def _left_by_coupons(theirs: stripe.Subscription, minor: int) -> int:
    """Of the price, in the running period, after each coupon that comes back; one that works once is none."""
    left, period = minor, theirs.items.data[0].current_period_start
    for discount in theirs.discounts:
        coupon = discount.source.coupon if isinstance(discount, stripe.Discount) else None
        if not isinstance(coupon, stripe.Coupon) or coupon.duration == "once":
            continue
        if isinstance(discount, stripe.Discount) and discount.end is not None and discount.end <= period:
            continue
        left -= _taken_off(coupon, left, theirs.currency)
    return left


def _taken_off(coupon: stripe.Coupon, minor: int, currency: str) -> int:
    if coupon.percent_off is None:
        return min(minor, coupon.amount_off or 0)
    return half_up(Fraction(str(coupon.percent_off)) * minor / 100, currency)


def _why_it_ends(theirs: stripe.Subscription) -> tuple[str, str]:
    """The reason and what the customer said to it."""
    # The emulator's of an earlier version have none.
    if (details := getattr(theirs, "cancellation_details", None)) is None:
        return "", ""
    return details.reason or "", details.feedback or ""


def _client_secret(theirs: stripe.Subscription) -> str:
    """Of the latest invoice's payment, while the subscription waits for it."""
    invoice = theirs.latest_invoice
    waits = theirs.status == "incomplete" or theirs.pending_update
    if not waits or not isinstance(invoice, stripe.Invoice) or invoice.status != "open":
        return ""
    return invoice.confirmation_secret.client_secret if invoice.confirmation_secret else ""


def _plan_of(price: stripe.Price, otherwise: str) -> str:
    return str(price.metadata.to_dict().get("plan_id", otherwise))


def _interval_of(price: stripe.Price, otherwise: str) -> str:
    return price.recurring.interval if price.recurring else otherwise


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
