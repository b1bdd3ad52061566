"""The RPCs of AnalyticsService, one method each. Those that are not here are not served yet."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from chatmesh.analytics.v1 import analytics_pb2 as pb
from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceServicer

from analytics_svc import ranges, store
from analytics_svc.clickhouse import ClickHouse
from analytics_svc.ranges import Range
from svckit.rpc.call import Context
from svckit.timestamps import timestamp

# Up to here ClickHouse's `uniq` counts exactly.
_EXACT_UP_TO = 65_536
_OVERVIEW_CURRENCY = "usd"


class _Dated(Protocol):
    @property
    def start_date(self) -> str: ...
    @property
    def end_date(self) -> str: ...
    @property
    def timezone(self) -> str: ...


class _Series(_Dated, Protocol):
    @property
    def interval(self) -> str: ...


class Analytics(AnalyticsServiceServicer):
    """Serves reports; a series has every bucket of its range, those with nothing in them as zeros.

    `lag` answers the age of the oldest event that is not counted yet, in seconds, or None if that is not known.
    """

    def __init__(self, *, clickhouse: ClickHouse, lag: Callable[[], Awaitable[float | None]]) -> None:
        self._clickhouse = clickhouse
        self._lag = lag

    async def GetUserGrowth(self, request: pb.GetUserGrowthRequest, context: Context) -> pb.GetUserGrowthResponse:
        span = _series(request)
        total, counts, meta = await asyncio.gather(
            store.accounts_before(self._clickhouse, span), store.users(self._clickhouse, span), self._meta(span)
        )
        response = pb.GetUserGrowthResponse(meta=meta)
        for bucket in span.buckets:
            users = counts.get(bucket.unix, store.Users())
            total += users.registered - users.deleted
            response.data.add(
                date=bucket.label, new_users=users.registered, deleted_users=users.deleted, total_users=total
            )
        return response

    async def GetActiveUsers(self, request: pb.GetActiveUsersRequest, context: Context) -> pb.GetActiveUsersResponse:
        span = _series(request)
        counts, meta = await asyncio.gather(
            store.active_users(self._clickhouse, span, plan=request.plan), self._meta(span)
        )
        meta.approximate = max(counts.values(), default=0) > _EXACT_UP_TO
        response = pb.GetActiveUsersResponse(meta=meta)
        for bucket in span.buckets:
            response.data.add(date=bucket.label, active_users=counts.get(bucket.unix, 0))
        return response

    async def GetSignups(self, request: pb.GetSignupsRequest, context: Context) -> pb.GetSignupsResponse:
        span = _series(request)
        counts, meta = await asyncio.gather(store.users(self._clickhouse, span), self._meta(span))
        response = pb.GetSignupsResponse(meta=meta)
        for bucket in span.buckets:
            users = counts.get(bucket.unix, store.Users())
            response.data.add(date=bucket.label, signups=users.registered, verified=users.verified)
        return response

    async def GetChatActivity(self, request: pb.GetChatActivityRequest, context: Context) -> pb.GetChatActivityResponse:
        span = _series(request)
        counts, meta = await asyncio.gather(store.chat(self._clickhouse, span, plan=request.plan), self._meta(span))
        meta.approximate = max((chat.active_users for chat in counts.values()), default=0) > _EXACT_UP_TO
        response = pb.GetChatActivityResponse(meta=meta)
        for bucket in span.buckets:
            response.data.add(date=bucket.label, **counts.get(bucket.unix, store.Chat())._asdict())
        return response

    async def GetChatByProvider(
        self, request: pb.GetChatByProviderRequest, context: Context
    ) -> pb.GetChatByProviderResponse:
        span = _whole(request)
        counts, meta = await asyncio.gather(
            store.answers_by_provider(self._clickhouse, span, plan=request.plan), self._meta(span)
        )
        response = pb.GetChatByProviderResponse(meta=meta)
        total = sum(answers for _, answers in counts)
        for provider, answers in counts:
            response.data.add(provider=provider, messages=answers, share=_ratio(answers, total))
        return response

    async def GetOverview(self, request: pb.GetOverviewRequest, context: Context) -> pb.GetOverviewResponse:
        now = ranges.parse_instant("as_of", request.as_of) if request.as_of else datetime.now(UTC)
        day = ranges.since_midnight(now, ranges.find_zone(request.timezone))
        lately, today, mrr, lag, meta = await asyncio.gather(
            store.lately(self._clickhouse, now),
            store.today(self._clickhouse, day, currency=_OVERVIEW_CURRENCY),
            store.mrr(self._clickhouse, now, currency=_OVERVIEW_CURRENCY),
            self._lag(),
            self._meta(day),
        )
        meta.currency = _OVERVIEW_CURRENCY
        overview = pb.Overview(
            active_users_last5m=lately.active_5m,
            active_users_last30m=lately.active_30m,
            messages_last30m=lately.messages,
            errors_last30m=lately.errors,
            today=pb.OverviewToday(**today._asdict()),
            mrr_minor=mrr.minor,
            active_subscribers=mrr.subscribers,
            ingest_lag_seconds=lag,
        )
        return pb.GetOverviewResponse(data=overview, meta=meta)

    async def _meta(self, span: Range) -> pb.Meta:
        newest = await store.newest_event(self._clickhouse)
        return pb.Meta(
            start_date=span.first,
            end_date=span.last,
            interval=span.interval,
            timezone=span.zone.key,
            data_through=timestamp(newest),
            generated_at=timestamp(datetime.now(UTC)),
        )


def _series(request: _Series) -> Range:
    """The range of a report that goes bucket by bucket."""
    return ranges.parse(
        start_date=request.start_date,
        end_date=request.end_date,
        timezone=request.timezone,
        interval=request.interval or "day",
        now=datetime.now(UTC),
    )


def _whole(request: _Dated) -> Range:
    """The range of a report that adds everything up."""
    return ranges.parse(
        start_date=request.start_date, end_date=request.end_date, timezone=request.timezone, now=datetime.now(UTC)
    )


def _ratio(part: int, whole: int) -> float | None:
    """0 to 1 with 4 decimals; None when there is nothing to be a part of."""
    return round(part / whole, 4) if whole else None
