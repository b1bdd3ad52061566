"""What a request asks to be subscribed to."""

from typing import cast

from chatmesh.billing.v1 import billing_pb2 as pb

from billing_svc.driver.subscriptions import Order
from billing_svc.plans import Interval, Plans
from svckit.errors import InvalidArgument

_INTERVALS: dict[int, Interval] = {pb.INTERVAL_MONTH: "month", pb.INTERVAL_YEAR: "year"}


def interval_of(asked: pb.Interval.ValueType, *, otherwise: str) -> Interval:
    return _INTERVALS.get(asked, cast(Interval, otherwise))


def order(plans: Plans, plan_id: str, interval: Interval, *, currency: str, card: str = "", coupon: str = "") -> Order:
    """Raises InvalidArgument PLAN_UNKNOWN, PLAN_FREE and PRICE_UNKNOWN."""
    plan = plans.get(plan_id)
    if plan is None:
        raise InvalidArgument.of("plan_id", "there is no such plan", reason="PLAN_UNKNOWN")
    if plan.id == plans.free.id:
        raise InvalidArgument.of("plan_id", "needs no subscription: everybody has it", reason="PLAN_FREE")
    price = plan.price(interval, currency)
    if price is None:
        message = f"the plan {plan.id} is not sold by the {interval} in that currency"
        raise InvalidArgument.of("currency", message, reason="PRICE_UNKNOWN")
    return Order(plan, interval, price, card=card, coupon=coupon)
