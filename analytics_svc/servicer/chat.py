"""Reports on conversations."""

import asyncio
from dataclasses import dataclass

from chatmesh.analytics.v1 import analytics_pb2 as pb

from analytics_svc.servicer.report import Report, bucketed, is_estimate, ratio, unbroken
from analytics_svc.store import chat as store
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class ChatReports(Report):
    """Serves reports on conversations."""

    async def GetChatActivity(self, request: pb.GetChatActivityRequest, context: Context) -> pb.GetChatActivityResponse:
        span = bucketed(request)
        counts, meta = await asyncio.gather(store.activity(self.clickhouse, span, plan=request.plan), self.meta(span))
        meta.approximate = is_estimate(activity.active_users for activity in counts.values())
        response = pb.GetChatActivityResponse(meta=meta)
        for bucket in span.buckets:
            response.data.add(date=bucket.label, **counts.get(bucket.unix, store.Activity())._asdict())
        return response

    async def GetTokens(self, request: pb.GetTokensRequest, context: Context) -> pb.GetTokensResponse:
        span = unbroken(request)
        counts, meta = await asyncio.gather(
            store.tokens_by_plan(self.clickhouse, span, plan=request.plan), self.meta(span)
        )
        response = pb.GetTokensResponse(meta=meta)
        for plan, tokens_in, tokens_out in counts:
            response.data.add(
                plan=plan, tokens_in=tokens_in, tokens_out=tokens_out, tokens_total=tokens_in + tokens_out
            )
        return response

    async def GetChatByProvider(
        self, request: pb.GetChatByProviderRequest, context: Context
    ) -> pb.GetChatByProviderResponse:
        span = unbroken(request)
        counts, meta = await asyncio.gather(
            store.answers_by_provider(self.clickhouse, span, plan=request.plan), self.meta(span)
        )
        response = pb.GetChatByProviderResponse(meta=meta)
        total = sum(answers for _, answers in counts)
        for provider, answers in counts:
            response.data.add(provider=provider, messages=answers, share=ratio(answers, total))
        return response

    async def GetChatByModel(self, request: pb.GetChatByModelRequest, context: Context) -> pb.GetChatByModelResponse:
        span = unbroken(request)
        counts, meta = await asyncio.gather(
            store.answers_by_model(self.clickhouse, span, plan=request.plan, provider=request.provider),
            self.meta(span),
        )
        response = pb.GetChatByModelResponse(meta=meta)
        total = sum(answers for _, _, answers in counts)
        for provider, model, answers in counts:
            response.data.add(provider=provider, model=model, messages=answers, share=ratio(answers, total))
        return response

    async def GetConversationStats(
        self, request: pb.GetConversationStatsRequest, context: Context
    ) -> pb.GetConversationStatsResponse:
        span = unbroken(request)
        found, meta = await asyncio.gather(
            store.conversations(self.clickhouse, span, plan=request.plan), self.meta(span)
        )
        stats = pb.ConversationStats(
            conversations=found.conversations,
            messages=found.messages,
            avg_messages=ratio(found.messages, found.conversations),
            median_messages=found.median,
            max_messages=found.longest,
            avg_duration_seconds=ratio(found.milliseconds / 1000, found.conversations),
            avg_tokens=ratio(found.tokens, found.conversations),
        )
        return pb.GetConversationStatsResponse(data=stats, meta=meta)
