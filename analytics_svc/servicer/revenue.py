"""Reports on money that came in and went back."""

import asyncio
from dataclasses import dataclass

from chatmesh.analytics.v1 import analytics_pb2 as pb

from analytics_svc.servicer.report import DEFAULT_CURRENCY, Report, bucketed, is_estimate, ratio, unbroken
from analytics_svc.store import revenue as store
from svckit.rpc.call import Context

# What providers cost is in US dollars, so revenue beside it is, too.
_COST_CURRENCY = "usd"
_MICROS_PER_MINOR = 10_000


@dataclass(kw_only=True, eq=False)
class RevenueReports(Report):
    """Serves reports on payments and refunds."""

    async def GetRevenueTotal(self, request: pb.GetRevenueTotalRequest, context: Context) -> pb.GetRevenueTotalResponse:
        span, currency = unbroken(request), request.currency or DEFAULT_CURRENCY
        total, meta = await asyncio.gather(
            store.total(self.clickhouse, span, currency=currency), self.meta(span, currency=currency)
        )
        meta.approximate = is_estimate([total.paying_users])
        data = pb.RevenueTotal(
            gross_minor=total.money.gross_minor,
            tax_minor=total.money.tax_minor,
            refunds_minor=total.money.refunds_minor,
            net_minor=total.money.net_minor,
            payments=total.money.payments,
            refunds=total.refunds,
            failed_payments=total.failed_payments,
            paying_users=total.paying_users,
        )
        return pb.GetRevenueTotalResponse(data=data, meta=meta)

    async def GetRevenueOverTime(
        self, request: pb.GetRevenueOverTimeRequest, context: Context
    ) -> pb.GetRevenueOverTimeResponse:
        span, currency = bucketed(request), request.currency or DEFAULT_CURRENCY
        received, meta = await asyncio.gather(
            store.over_time(self.clickhouse, span, currency=currency), self.meta(span, currency=currency)
        )
        response = pb.GetRevenueOverTimeResponse(meta=meta)
        for bucket in span.buckets:
            money = received.get(bucket.unix, store.Money())
            response.data.add(
                date=bucket.label,
                gross_minor=money.gross_minor,
                refunds_minor=money.refunds_minor,
                tax_minor=money.tax_minor,
                net_minor=money.net_minor,
            )
        return response

    async def GetRevenueByPlan(
        self, request: pb.GetRevenueByPlanRequest, context: Context
    ) -> pb.GetRevenueByPlanResponse:
        span, currency = unbroken(request), request.currency or DEFAULT_CURRENCY
        received, subscriptions, meta = await asyncio.gather(
            store.by_plan(self.clickhouse, span, currency=currency),
            store.subscriptions_by_plan(self.clickhouse, currency=currency),
            self.meta(span, currency=currency),
        )
        response = pb.GetRevenueByPlanResponse(meta=meta)
        rows = {plan: received.get(plan, store.Money()) for plan in received.keys() | subscriptions.keys()}
        for plan, money in sorted(rows.items(), key=lambda row: (-row[1].net_minor, row[0])):
            response.data.add(
                plan=plan,
                gross_minor=money.gross_minor,
                refunds_minor=money.refunds_minor,
                net_minor=money.net_minor,
                payments=money.payments,
                subscriptions=subscriptions.get(plan, 0),
            )
        return response

    async def GetMargin(self, request: pb.GetMarginRequest, context: Context) -> pb.GetMarginResponse:
        span = unbroken(request)
        received, costs, meta = await asyncio.gather(
            store.by_plan(self.clickhouse, span, currency=_COST_CURRENCY),
            store.cost_by_plan(self.clickhouse, span),
            self.meta(span, currency=_COST_CURRENCY),
        )
        margins = [
            _margin(plan, received.get(plan, store.Money()).net_minor, costs.get(plan, 0))
            for plan in received.keys() | costs.keys()
        ]
        margins.sort(key=lambda margin: (-margin.margin_micros, margin.plan))
        return pb.GetMarginResponse(data=margins, meta=meta)


def _margin(plan: str, net_minor: int, cost_micros: int) -> pb.PlanMargin:
    revenue_micros = net_minor * _MICROS_PER_MINOR
    margin_micros = revenue_micros - cost_micros
    return pb.PlanMargin(
        plan=plan,
        net_revenue_minor=net_minor,
        cost_micros=cost_micros,
        margin_micros=margin_micros,
        margin_rate=ratio(margin_micros, max(revenue_micros, 0)),
    )
