"""Reports on subscribers and what they are worth: all of them made from the changes of MRR."""

import asyncio
from dataclasses import dataclass

from chatmesh.analytics.v1 import analytics_pb2 as pb

from analytics_svc.servicer.report import DEFAULT_CURRENCY, Report, bucketed, divided, ratio, unbroken
from analytics_svc.store import mrr as store
from analytics_svc.store.mrr import Standings
from svckit.rpc.call import Context

_MONTHS_OF_A_YEAR = 12


@dataclass(kw_only=True, eq=False)
class SubscriberReports(Report):
    """Serves reports on subscribers."""

    async def GetMrr(self, request: pb.GetMrrRequest, context: Context) -> pb.GetMrrResponse:
        span, currency = bucketed(request), request.currency or DEFAULT_CURRENCY
        (minor, moved), standings, meta = await asyncio.gather(
            store.movements(self.clickhouse, span, currency=currency),
            store.standings(self.clickhouse, span, currency=currency),
            self.meta(span, currency=currency),
        )
        data = pb.Mrr(
            mrr_minor=standings.mrr_end,
            arr_minor=standings.mrr_end * _MONTHS_OF_A_YEAR,
            active_subscribers=standings.at_end,
            arpu_minor=divided(standings.mrr_end, standings.at_end),
        )
        for bucket in span.buckets:
            minor += moved.get(bucket.unix, store.Movements()).net
            data.series.add(date=bucket.label, mrr_minor=minor)
        return pb.GetMrrResponse(data=data, meta=meta)

    async def GetMrrMovements(self, request: pb.GetMrrMovementsRequest, context: Context) -> pb.GetMrrMovementsResponse:
        span, currency = bucketed(request), request.currency or DEFAULT_CURRENCY
        (minor, moved), meta = await asyncio.gather(
            store.movements(self.clickhouse, span, currency=currency), self.meta(span, currency=currency)
        )
        response = pb.GetMrrMovementsResponse(meta=meta)
        for bucket in span.buckets:
            movements = moved.get(bucket.unix, store.Movements())
            start, minor = minor, minor + movements.net
            response.data.add(
                date=bucket.label, mrr_start=start, **movements._asdict(), net=movements.net, mrr_end=minor
            )
        return response

    async def GetLtv(self, request: pb.GetLtvRequest, context: Context) -> pb.GetLtvResponse:
        span, currency = unbroken(request), request.currency or DEFAULT_CURRENCY
        standings, meta = await asyncio.gather(
            store.standings(self.clickhouse, span, currency=currency), self.meta(span, currency=currency)
        )
        return pb.GetLtvResponse(data=_ltv(standings), meta=meta)

    async def GetChurn(self, request: pb.GetChurnRequest, context: Context) -> pb.GetChurnResponse:
        span, currency = unbroken(request), request.currency or DEFAULT_CURRENCY
        standings, meta = await asyncio.gather(
            store.standings(self.clickhouse, span, currency=currency), self.meta(span, currency=currency)
        )
        return pb.GetChurnResponse(data=_churn(standings), meta=meta)


def _ltv(standings: Standings) -> pb.Ltv:
    could_churn = standings.at_start + standings.new
    return pb.Ltv(
        arpu_minor=divided(standings.mrr_end, standings.at_end),
        churn_rate=ratio(standings.churned, could_churn),
        ltv_minor=divided(standings.mrr_end * could_churn, standings.at_end * standings.churned),
        active_subscribers=standings.at_end,
        churned_subscribers=standings.churned,
    )


def _churn(standings: Standings) -> pb.Churn:
    start = standings.mrr_start
    lost = standings.churned_mrr + standings.contraction_mrr
    return pb.Churn(
        subscribers_at_start=standings.at_start,
        new=standings.new,
        reactivated=standings.reactivated,
        churned=standings.churned,
        subscriber_churn_rate=ratio(standings.churned, standings.at_start + standings.new),
        mrr_start=start,
        mrr_end=standings.mrr_end,
        churned_mrr=standings.churned_mrr,
        contraction_mrr=standings.contraction_mrr,
        expansion_mrr=standings.expansion_mrr,
        gross_mrr_churn_rate=ratio(lost, start),
        net_mrr_churn_rate=ratio(lost - standings.expansion_mrr, start),
        grr=ratio(start - lost, start),
        nrr=ratio(start - lost + standings.expansion_mrr, start),
    )
