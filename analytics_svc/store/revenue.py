"""Reports on money that came in and went back: refunds count when they were made, tax in them is no longer tax."""
# ruff: noqa: S608 - queries are put together from texts of these files only; values are bound

from typing import NamedTuple

from analytics_svc.clickhouse import ClickHouse
from analytics_svc.ranges import Range
from analytics_svc.store.spans import WITHIN, bucket_of, bucketed, whole, wholes, within

_MONEY = """
    sumIf(amount_minor, type = 'billing.payment.succeeded'),
    sumIf(amount_minor, type = 'billing.payment.refunded'),
    sumIf(tax_minor, type = 'billing.payment.succeeded') - sumIf(tax_minor, type = 'billing.payment.refunded'),
    sumIf(n, type = 'billing.payment.succeeded')
"""
_OF_CURRENCY = f"FROM revenue_15m WHERE currency = {{currency:String}} AND {WITHIN}"

_TOTAL = f"""
SELECT {_MONEY}, sumIf(n, type = 'billing.payment.refunded'), sumIf(n, type = 'billing.payment.failed'),
    uniqMergeIf(users, type = 'billing.payment.succeeded')
{_OF_CURRENCY}
"""

_OVER_TIME = f"SELECT {bucket_of('b')} AS bucket, {_MONEY} {_OF_CURRENCY} GROUP BY bucket"

_BY_PLAN = f"SELECT plan, {_MONEY} {_OF_CURRENCY} GROUP BY plan"

_COST_BY_PLAN = f"""
SELECT plan, sum(chat_15m.cost_micros) AS cost FROM chat_15m WHERE {WITHIN} GROUP BY plan HAVING cost > 0
"""

_SUBSCRIPTIONS = """
SELECT plan, count() FROM (
    SELECT argMaxMerge(subscription_state.plan) AS plan, argMaxMerge(subscription_state.status) AS status
    FROM subscription_state GROUP BY subscription_id
    HAVING status IN ('active', 'past_due') AND argMaxMerge(subscription_state.currency) = {currency:String}
) GROUP BY plan
"""


class Money(NamedTuple):
    """Payments and refunds, both with tax; `tax_minor` is what is left of it after refunds."""

    gross_minor: int = 0
    refunds_minor: int = 0
    tax_minor: int = 0
    payments: int = 0

    @property
    def net_minor(self) -> int:
        return self.gross_minor - self.tax_minor - self.refunds_minor


class Total(NamedTuple):
    """All payments of a span, those that failed and were given back too, and how many people paid."""

    money: Money
    refunds: int
    failed_payments: int
    paying_users: int


async def total(clickhouse: ClickHouse, span: Range, *, currency: str) -> Total:
    [row] = await clickhouse.query(_TOTAL, within(span) | {"currency": currency})
    *money, refunds, failed, people = wholes(row)
    return Total(Money(*money), refunds, failed, people)


async def over_time(clickhouse: ClickHouse, span: Range, *, currency: str) -> dict[int, Money]:
    """By the bucket's start in Unix seconds; buckets where nothing happened are left out."""
    rows = await clickhouse.query(_OVER_TIME, bucketed(span) | {"currency": currency})
    return {whole(start): Money(*wholes(rest)) for start, *rest in rows}


async def by_plan(clickhouse: ClickHouse, span: Range, *, currency: str) -> dict[str, Money]:
    rows = await clickhouse.query(_BY_PLAN, within(span) | {"currency": currency})
    return {str(plan): Money(*wholes(rest)) for plan, *rest in rows}


async def cost_by_plan(clickhouse: ClickHouse, span: Range) -> dict[str, int]:
    """What the providers cost, in millionths of a US dollar."""
    rows = await clickhouse.query(_COST_BY_PLAN, within(span))
    return {str(plan): whole(cost) for plan, cost in rows}


async def subscriptions_by_plan(clickhouse: ClickHouse, *, currency: str) -> dict[str, int]:
    """Subscriptions that are active or past due now."""
    rows = await clickhouse.query(_SUBSCRIPTIONS, {"currency": currency})
    return {str(plan): whole(count) for plan, count in rows}
