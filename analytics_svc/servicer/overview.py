"""The state of things now."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from chatmesh.analytics.v1 import analytics_pb2 as pb

from analytics_svc import ranges
from analytics_svc.servicer.report import DEFAULT_CURRENCY, Report
from analytics_svc.store import overview as store
from analytics_svc.store.mrr import mrr
from svckit.rpc.call import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Events that are not counted yet, and the age of the oldest of them; 0 and 0 when all are counted."""

    events: int
    seconds: float


@dataclass(kw_only=True, eq=False)
class OverviewReport(Report):
    """Serves the overview; `backlog` answers what is not counted yet, or None if that is not known."""

    backlog: Callable[[], Awaitable[Backlog | None]]

    async def GetOverview(self, request: pb.GetOverviewRequest, context: Context) -> pb.GetOverviewResponse:
        now = ranges.parse_instant("as_of", request.as_of) if request.as_of else datetime.now(UTC)
        day = ranges.since_midnight(now, ranges.find_zone(request.timezone))
        lately, today, recurring, backlog, meta = await asyncio.gather(
            store.lately(self.clickhouse, now),
            store.today(self.clickhouse, day, currency=DEFAULT_CURRENCY),
            mrr(self.clickhouse, now, currency=DEFAULT_CURRENCY),
            self.backlog(),
            self.meta(day, currency=DEFAULT_CURRENCY),
        )
        overview = pb.Overview(
            active_users_last5m=lately.active_5m,
            active_users_last30m=lately.active_30m,
            messages_last30m=lately.messages,
            errors_last30m=lately.errors,
            today=pb.OverviewToday(**today._asdict()),
            mrr_minor=recurring.minor,
            active_subscribers=recurring.subscribers,
            ingest_lag_seconds=backlog.seconds if backlog else None,
            backlog_events=backlog.events if backlog else None,
        )
        return pb.GetOverviewResponse(data=overview, meta=meta)
