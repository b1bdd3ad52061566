"""What a change of plan is: an upgrade that happens now, or a downgrade that waits for the end of the period."""

from billing_svc.driver.subscriptions import Order
from billing_svc.models import Subscription
from billing_svc.plans import Plans
from svckit.errors import FailedPrecondition

_MONTHS = {"month": 1, "year": 12}
# What is late may become cheaper, but not dearer: the credit would be for time that nobody paid.
_CHANGEABLE_NOW = ("active", "trialing")
_CHANGEABLE_LATER = (*_CHANGEABLE_NOW, "past_due")


def waits(row: Subscription, order: Order, *, plans: Plans) -> bool:
    """Whether the change waits for the end of the paid period.

    Raises FailedPrecondition NOTHING_CHANGES, CANCELLATION_PENDING or NOT_CHANGEABLE.
    """
    if (row.plan_id, row.interval) == (order.plan.id, order.interval):
        raise FailedPrecondition("the subscription has that plan and interval", reason="NOTHING_CHANGES")
    if row.cancel_at_period_end:
        message = "the subscription is about to end, resume it before you change it"
        raise FailedPrecondition(message, reason="CANCELLATION_PENDING")
    later = _MONTHS[order.interval] < _MONTHS[row.interval] or _is_cheaper(row, order, plans)
    if row.status not in (_CHANGEABLE_LATER if later else _CHANGEABLE_NOW):
        message = f"a subscription that is {row.status.replace('_', ' ')} cannot be changed so"
        raise FailedPrecondition(message, reason="NOT_CHANGEABLE")
    return later


def _is_cheaper(row: Subscription, order: Order, plans: Plans) -> bool:
    """By the plans' order: a year costs less a month, and is no downgrade for that."""
    if plans.get(row.plan_id) is not None:
        return plans.rank(order.plan.id) < plans.rank(row.plan_id)
    return order.price.minor * _MONTHS[row.interval] < row.amount_minor * _MONTHS[order.interval]
