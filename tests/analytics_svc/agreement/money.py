"""Reports on payments and refunds, computed from the facts."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from chatmesh.events.v1 import events_pb2 as pb

from tests.analytics_svc.agreement.asked import Asked
from tests.analytics_svc.agreement.computing import (
    ANSWERS,
    CHANGES,
    Facts,
    Row,
    by_bucket,
    grouped,
    of,
    of_currency,
    ratio,
)
from tests.analytics_svc.agreement.year import Fact

_PAYING = (pb.SUBSCRIPTION_STATUS_ACTIVE, pb.SUBSCRIPTION_STATUS_PAST_DUE)


def money(facts: Iterable[Fact], asked: Asked) -> Row:
    wanted: list[Any] = [fact.message for fact in facts if of_currency(fact, asked)]
    paid = [message for message in wanted if isinstance(message, pb.PaymentSucceeded)]
    back = [message for message in wanted if isinstance(message, pb.PaymentRefunded)]
    gross, refunds = sum(message.amount_minor for message in paid), sum(message.amount_minor for message in back)
    tax = sum(message.tax_minor for message in paid) - sum(message.tax_minor for message in back)
    return {
        "gross_minor": gross,
        "tax_minor": tax,
        "refunds_minor": refunds,
        "net_minor": gross - tax - refunds,
        "payments": len(paid),
        "refunds": len(back),
        "failed_payments": len([message for message in wanted if isinstance(message, pb.PaymentFailed)]),
        "paying_users": len({message.user_id for message in paid}),
    }


def payments(facts: Facts, asked: Asked) -> list[Fact]:
    kinds = (pb.PaymentSucceeded, pb.PaymentFailed, pb.PaymentRefunded)
    return [fact for fact in asked.chosen(of(facts, *kinds)) if of_currency(fact, asked)]


def GetRevenueTotal(facts: Facts, asked: Asked) -> Row:
    return money(payments(facts, asked), asked)


def GetRevenueOverTime(facts: Facts, asked: Asked) -> list[Row]:
    names = ("gross_minor", "refunds_minor", "tax_minor", "net_minor")
    return [
        {"date": label, **{name: money(bucket, asked)[name] for name in names}}
        for label, bucket in by_bucket(asked, payments(facts, asked)).items()
    ]


def GetRevenueByPlan(facts: Facts, asked: Asked) -> list[Row]:
    latest: dict[str, Any] = {}
    for fact in of(facts, *CHANGES):
        latest[fact.message.subscription_id] = fact.message  # type: ignore[attr-defined]
    subscribed = Counter(
        message.plan_after if isinstance(message, pb.SubscriptionChanged) else message.plan
        for message in latest.values()
        if message.status in _PAYING and message.currency.lower() == asked.currency
    )
    paid = payments(facts, asked)
    rows = []
    for plan in {fact.message.plan for fact in paid} | set(subscribed):  # type: ignore[attr-defined]
        found = money((fact for fact in paid if fact.message.plan == plan), asked)  # type: ignore[attr-defined]
        names = ("gross_minor", "refunds_minor", "net_minor", "payments")
        rows.append({"plan": plan, **{name: found[name] for name in names}, "subscriptions": subscribed[plan]})
    return sorted(rows, key=lambda row: (-row["net_minor"], row["plan"]))


def GetMargin(facts: Facts, asked: Asked) -> list[Row]:
    net = {row["plan"]: row["net_minor"] for row in GetRevenueByPlan(payments(facts, asked), asked)}
    costs: Counter[str] = Counter()
    for (plan,), answers in grouped(asked.chosen(of(facts, *ANSWERS)), "plan").items():
        costs[plan] = sum(answer.usage.cost_micros for answer in answers)
    rows = []
    for plan in net.keys() | costs.keys():
        revenue = net.get(plan, 0) * 10_000
        margin = revenue - costs[plan]
        rate = ratio(margin, revenue) if revenue > 0 else None
        rows.append(
            {
                "plan": plan,
                "net_revenue_minor": net.get(plan, 0),
                "cost_micros": costs[plan],
                "margin_micros": margin,
                "margin_rate": rate,
            }
        )
    return sorted(rows, key=lambda row: (-row["margin_micros"], row["plan"]))
