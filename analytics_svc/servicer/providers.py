"""Reports on providers and their models."""

import asyncio
from dataclasses import dataclass

from chatmesh.analytics.v1 import analytics_pb2 as pb

from analytics_svc.servicer.report import DEFAULT_LIMIT, Report, divided, is_estimate, ratio, unbroken
from analytics_svc.store import providers as store
from analytics_svc.store.providers import Performance
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class ProviderReports(Report):
    """Serves reports on providers."""

    async def GetProviderUsage(
        self, request: pb.GetProviderUsageRequest, context: Context
    ) -> pb.GetProviderUsageResponse:
        span = unbroken(request)
        rows, meta = await asyncio.gather(store.usage(self.clickhouse, span, plan=request.plan), self.meta(span))
        meta.approximate = is_estimate(row.unique_users for row in rows)
        data = [pb.ProviderUsage(**row._asdict()) for row in rows]
        return pb.GetProviderUsageResponse(data=data, meta=meta)

    async def GetProviderPerformance(
        self, request: pb.GetProviderPerformanceRequest, context: Context
    ) -> pb.GetProviderPerformanceResponse:
        span = unbroken(request)
        rows, meta = await asyncio.gather(
            store.performance(self.clickhouse, span, provider=request.provider, model=request.model), self.meta(span)
        )
        return pb.GetProviderPerformanceResponse(data=map(_performance, rows), meta=meta)

    async def GetProviderCost(self, request: pb.GetProviderCostRequest, context: Context) -> pb.GetProviderCostResponse:
        span = unbroken(request)
        rows, meta = await asyncio.gather(store.cost(self.clickhouse, span, plan=request.plan), self.meta(span))
        data = [
            pb.ProviderCost(**row._asdict(), cost_per_request_micros=divided(row.cost_micros, row.requests))
            for row in rows
        ]
        return pb.GetProviderCostResponse(data=data, meta=meta)

    async def GetPopularModels(
        self, request: pb.GetPopularModelsRequest, context: Context
    ) -> pb.GetPopularModelsResponse:
        span = unbroken(request)
        rows, meta = await asyncio.gather(
            store.popular_models(self.clickhouse, span, limit=request.limit or DEFAULT_LIMIT), self.meta(span)
        )
        meta.approximate = is_estimate(row.unique_users for row in rows)
        data = [pb.PopularModel(rank=rank, **row._asdict()) for rank, row in enumerate(rows, start=1)]
        return pb.GetPopularModelsResponse(data=data, meta=meta)

    async def GetProviderErrors(
        self, request: pb.GetProviderErrorsRequest, context: Context
    ) -> pb.GetProviderErrorsResponse:
        span = unbroken(request)
        rows, meta = await asyncio.gather(
            store.errors(self.clickhouse, span, provider=request.provider, model=request.model), self.meta(span)
        )
        data = [pb.ProviderErrors(**row._asdict(), error_rate=ratio(row.errors, row.requests)) for row in rows]
        return pb.GetProviderErrorsResponse(data=data, meta=meta)


def _performance(row: Performance) -> pb.ProviderPerformance:
    message = pb.ProviderPerformance(
        provider=row.provider,
        requests=row.requests,
        successes=row.successes,
        success_rate=ratio(row.successes, row.requests),
        output_tokens_per_second=ratio(row.tokens_out * 1000, row.latency_ms),
    )
    if row.successes:
        message.latency_ms_p50, message.latency_ms_p95, message.latency_ms_p99 = row.latencies
    if row.with_ttft:
        message.ttft_ms_p50, message.ttft_ms_p95 = row.ttfts
    return message
