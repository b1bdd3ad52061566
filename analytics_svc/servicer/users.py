"""Reports on people."""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, cast

from chatmesh.analytics.v1 import analytics_pb2 as pb

from analytics_svc import ranges
from analytics_svc.servicer.report import DEFAULT_LIMIT, Report, bucketed, is_estimate, ratio, unbroken
from analytics_svc.store import users as store
from svckit.errors import Unprocessable
from svckit.rpc.call import Context
from svckit.timestamps import timestamp

_MONTH, _WEEK = 30, 7
# A table of cohorts has a cell for each pair of buckets.
_MAX_COHORTS = 366


@dataclass(kw_only=True, eq=False)
class UserReports(Report):
    """Serves reports on people."""

    async def GetUserGrowth(self, request: pb.GetUserGrowthRequest, context: Context) -> pb.GetUserGrowthResponse:
        span = bucketed(request)
        total, counts, meta = await asyncio.gather(
            store.accounts_before(self.clickhouse, span), store.users(self.clickhouse, span), self.meta(span)
        )
        response = pb.GetUserGrowthResponse(meta=meta)
        for bucket in span.buckets:
            users = counts.get(bucket.unix, store.Users())
            total += users.registered - users.deleted
            response.data.add(
                date=bucket.label, new_users=users.registered, deleted_users=users.deleted, total_users=max(total, 0)
            )
        return response

    async def GetActiveUsers(self, request: pb.GetActiveUsersRequest, context: Context) -> pb.GetActiveUsersResponse:
        span = bucketed(request)
        counts, meta = await asyncio.gather(
            store.active_users(self.clickhouse, span, plan=request.plan), self.meta(span)
        )
        meta.approximate = is_estimate(counts.values())
        response = pb.GetActiveUsersResponse(meta=meta)
        for bucket in span.buckets:
            response.data.add(date=bucket.label, active_users=counts.get(bucket.unix, 0))
        return response

    async def GetSignups(self, request: pb.GetSignupsRequest, context: Context) -> pb.GetSignupsResponse:
        span = bucketed(request)
        counts, meta = await asyncio.gather(store.users(self.clickhouse, span), self.meta(span))
        response = pb.GetSignupsResponse(meta=meta)
        for bucket in span.buckets:
            users = counts.get(bucket.unix, store.Users())
            response.data.add(date=bucket.label, signups=users.registered, verified=users.verified)
        return response

    async def GetTopUsers(self, request: pb.GetTopUsersRequest, context: Context) -> pb.GetTopUsersResponse:
        span = unbroken(request)
        by = cast("Literal['messages', 'tokens', 'cost']", request.by or "tokens")
        limit = request.limit or DEFAULT_LIMIT
        top, meta = await asyncio.gather(
            store.top_users(self.clickhouse, span, by=by, plan=request.plan, limit=limit), self.meta(span)
        )
        last = await store.last_messages(self.clickhouse, [user.user_id for user in top])
        response = pb.GetTopUsersResponse(meta=meta)
        for user in top:
            response.data.add(**user._asdict(), last_active_at=timestamp(last.get(user.user_id)))
        return response

    async def GetRetention(self, request: pb.GetRetentionRequest, context: Context) -> pb.GetRetentionResponse:
        span = bucketed(request)
        if len(span.buckets) > _MAX_COHORTS:
            wanted = f"at most {_MAX_COHORTS} cohorts: choose a wider interval or a shorter range"
            raise Unprocessable.of("interval", wanted, reason="RANGE_TOO_LARGE")
        sizes, returned, meta = await asyncio.gather(
            store.cohorts(self.clickhouse, span), store.returned(self.clickhouse, span), self.meta(span)
        )
        response = pb.GetRetentionResponse(meta=meta)
        starts = [bucket.unix for bucket in span.buckets]
        for number, cohort in enumerate(span.buckets):
            size = sizes.get(cohort.unix, 0)
            row = response.data.add(cohort=cohort.label, size=size)
            for period, start in enumerate(starts[number:]):
                users = returned.get((cohort.unix, start), 0)
                row.values.add(period=period, users=users, rate=ratio(users, size))
        return response

    async def GetStickiness(self, request: pb.GetStickinessRequest, context: Context) -> pb.GetStickinessResponse:
        month = ranges.last_days(unbroken(request), _MONTH)
        week = ranges.midnight(date.fromisoformat(month.last) - timedelta(days=_WEEK - 1), month.zone)
        daily, (mau, wau), meta = await asyncio.gather(
            store.active_users(self.clickhouse, month),
            store.active_in_all(self.clickhouse, month, since=week),
            self.meta(month),
        )
        meta.approximate = is_estimate([mau])
        average = sum(daily.values()) / len(month.buckets)
        stickiness = pb.Stickiness(
            dau=daily.get(month.buckets[-1].unix, 0),
            wau=wau,
            mau=mau,
            avg_dau30=round(average, 4),
            stickiness=ratio(average, mau),
        )
        return pb.GetStickinessResponse(data=stickiness, meta=meta)

    async def GetFunnel(self, request: pb.GetFunnelRequest, context: Context) -> pb.GetFunnelResponse:
        span = unbroken(request)
        funnel, meta = await asyncio.gather(store.funnel(self.clickhouse, span), self.meta(span))
        response = pb.GetFunnelResponse(meta=meta)
        previous = 0
        for step, users in funnel._asdict().items():
            response.data.add(
                step=step,
                users=users,
                from_previous=ratio(users, previous),
                from_first=ratio(users, funnel.registered),
            )
            previous = users
        return response
