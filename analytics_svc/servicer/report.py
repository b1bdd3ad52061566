"""What all reports share: how a request's range is read, what is said about the answer, how figures are divided."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from chatmesh.analytics.v1 import analytics_pb2 as pb
from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceServicer

from analytics_svc import ranges
from analytics_svc.clickhouse import ClickHouse
from analytics_svc.ranges import Range
from analytics_svc.store.events import newest_event
from svckit.timestamps import timestamp

DEFAULT_LIMIT = 10
DEFAULT_CURRENCY = "usd"

# Up to here ClickHouse's `uniq` counts exactly.
_EXACT_UP_TO = 65_536


class Dated(Protocol):
    @property
    def start_date(self) -> str: ...
    @property
    def end_date(self) -> str: ...
    @property
    def timezone(self) -> str: ...


class Series(Dated, Protocol):
    @property
    def interval(self) -> str: ...


@dataclass(kw_only=True, eq=False)
class Report(AnalyticsServiceServicer):
    """The ground that every kind of report stands on."""

    clickhouse: ClickHouse

    async def meta(self, span: Range, *, currency: str = "") -> pb.Meta:
        newest = await newest_event(self.clickhouse)
        return pb.Meta(
            start_date=span.first,
            end_date=span.last,
            interval=span.interval,
            timezone=span.zone.key,
            currency=currency,
            data_through=timestamp(newest),
            generated_at=timestamp(datetime.now(UTC)),
        )


def bucketed(request: Series) -> Range:
    """The range of a report that goes bucket by bucket."""
    return ranges.parse(
        start_date=request.start_date,
        end_date=request.end_date,
        timezone=request.timezone,
        interval=request.interval or "day",
        now=datetime.now(UTC),
    )


def unbroken(request: Dated) -> Range:
    """The range of a report that adds everything up."""
    return ranges.parse(
        start_date=request.start_date, end_date=request.end_date, timezone=request.timezone, now=datetime.now(UTC)
    )


def is_estimate(counts: Iterable[int]) -> bool:
    """Whether one of these counts of distinct people is more than is counted exactly."""
    return max(counts, default=0) > _EXACT_UP_TO


def ratio(part: float, whole: float) -> float | None:
    """With 4 decimals; None when there is nothing to be a part of."""
    return round(part / whole, 4) if whole else None


def divided(amount: int, among: int) -> int | None:
    """Rounded half up; None when there is nobody to divide it among."""
    return (2 * amount + among) // (2 * among) if among else None
