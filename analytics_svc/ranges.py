"""What a report covers: its range in the viewer's zone, and the buckets that the range is cut into.

All calendar arithmetic is here, in Python's zones; ClickHouse only sees instants. Instants are widened to quarter
hours, the grain of the views; every zone's days begin on one.
"""

import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

from svckit.errors import InvalidArgument, Unprocessable

MAX_BUCKETS = 1100
MAX_YEARS = 5
DEFAULT_DAYS = 30

_GRAIN = timedelta(minutes=15)
_DAY = timedelta(days=1)
_FIRST_YEAR, _LAST_YEAR = 1970, 2099
_SHAPE = re.compile(r"\d{4}-\d\d-\d\d(?P<time>T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A span of a series; `label` is its first day, or its first instant when the interval is an hour."""

    start: datetime
    label: str

    @property
    def unix(self) -> int:
        """The start in Unix seconds, by which ClickHouse names the bucket."""
        return int(self.start.timestamp())


@dataclass(frozen=True, slots=True)
class Range:
    """From `start` up to and without `end`, both UTC; `first` and `last` are those that the caller chose, as text."""

    start: datetime
    end: datetime
    first: str
    last: str
    zone: zoneinfo.ZoneInfo
    interval: str = ""
    buckets: tuple[Bucket, ...] = ()


def parse(*, start_date: str, end_date: str, timezone: str, now: datetime, interval: str = "") -> Range:
    """The range of a request's fields; `interval` is hour, day, week or month, and empty for a report without buckets.

    Raises InvalidArgument on the field: an unknown zone, something that is no date, an empty range (RANGE_EMPTY), one
    of more than 5 years or 1,100 buckets (RANGE_TOO_LARGE).
    """
    zone = find_zone(timezone)
    last = _point("end_date", end_date) if end_date else _today(zone, now)
    first = _point("start_date", start_date) if start_date else _default_start(last)
    start, end = _from(first, zone), _until(last, zone)
    if start >= end:
        raise InvalidArgument.of("end_date", "must not be before the start", reason="RANGE_EMPTY")
    if end > _years_later(start.astimezone(zone), MAX_YEARS).astimezone(UTC):
        raise Unprocessable.of("start_date", f"at most {MAX_YEARS} years before the end", reason="RANGE_TOO_LARGE")
    buckets = _buckets(start, end, zone, interval) if interval else ()
    return Range(start, end, _text(first, zone), _text(last, zone), zone, interval, buckets)


def since_midnight(now: datetime, zone: zoneinfo.ZoneInfo) -> Range:
    """The day so far."""
    day = _today(zone, now)
    return Range(midnight(day, zone), _until(now, zone), day.isoformat(), _text(now, zone), zone)


def last_days(span: Range, count: int) -> Range:
    """So many whole days, as buckets, the last of which is the last that the span touches."""
    last = _today(span.zone, span.end - _GRAIN)
    first = last - (count - 1) * _DAY
    start, end = _from(first, span.zone), _until(last, span.zone)
    buckets = _buckets(start, end, span.zone, "day")
    return Range(start, end, first.isoformat(), last.isoformat(), span.zone, "day", buckets)


@cache
def _known_zones() -> frozenset[str]:
    """The names that mean the same on every machine."""
    return frozenset(zoneinfo.available_timezones()) - {"localtime", "Factory"}


def find_zone(name: str) -> zoneinfo.ZoneInfo:
    """The zone of an IANA name, UTC for none. Raises InvalidArgument on `timezone`."""
    if name and name not in _known_zones():
        raise InvalidArgument.of("timezone", "must be an IANA name, such as Asia/Kathmandu", reason="TIMEZONE_UNKNOWN")
    return zoneinfo.ZoneInfo(name or "UTC")


def parse_instant(field: str, text: str) -> datetime:
    """An RFC 3339 instant. Raises InvalidArgument on the field."""
    point = _point(field, text)
    if not isinstance(point, datetime):
        raise InvalidArgument.of(field, "must be an instant, such as 2025-01-31T12:00:00Z", reason="DATE_INVALID")
    return point


def midnight(day: date, zone: zoneinfo.ZoneInfo) -> datetime:
    """The first instant of a day. Where clocks skip midnight it is the instant of the skip (PEP 495, fold=0)."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _point(field: str, text: str) -> date | datetime:
    """A day, or an instant when the text has a time; datetimes are dates too, so ask for the instant first."""
    try:
        point = _read(text)
    except ValueError:
        wanted = "must be an ISO date (2025-01-31) or an RFC 3339 instant (2025-01-31T12:00:00Z)"
        raise InvalidArgument.of(field, wanted, reason="DATE_INVALID") from None
    if not _FIRST_YEAR < point.year < _LAST_YEAR:
        raise InvalidArgument.of(field, f"must be after {_FIRST_YEAR} and before {_LAST_YEAR}", reason="DATE_INVALID")
    return point


def _read(text: str) -> date | datetime:
    # Python reads much more than this: weeks, ordinal days, times without a zone.
    shape = _SHAPE.fullmatch(text.upper())
    if shape is None:
        raise ValueError(text)
    return datetime.fromisoformat(shape[0]) if shape["time"] else date.fromisoformat(shape[0])


def _today(zone: zoneinfo.ZoneInfo, now: datetime) -> date:
    return now.astimezone(zone).date()


def _default_start(last: date | datetime) -> date | datetime:
    """Thirty days in all: the last day is one of them, the end instant is not."""
    return last - timedelta(days=DEFAULT_DAYS if isinstance(last, datetime) else DEFAULT_DAYS - 1)


def _from(point: date | datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    return _quarter_hour(point) if isinstance(point, datetime) else midnight(point, zone)


def _until(point: date | datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    if isinstance(point, datetime):
        return _quarter_hour(point + _GRAIN - timedelta(microseconds=1))
    return midnight(point + _DAY, zone)


def _quarter_hour(instant: datetime) -> datetime:
    instant = instant.astimezone(UTC)
    return instant - (instant - datetime.min.replace(tzinfo=UTC)) % _GRAIN


def _text(point: date | datetime, zone: zoneinfo.ZoneInfo) -> str:
    return point.astimezone(zone).isoformat() if isinstance(point, datetime) else point.isoformat()


def _years_later(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:  # 29 February
        return moment.replace(year=moment.year + years, month=3, day=1)


def _buckets(start: datetime, end: datetime, zone: zoneinfo.ZoneInfo, interval: str) -> tuple[Bucket, ...]:
    """The buckets that touch the range. The first may begin before the range does, and is called what it is whole."""
    buckets: list[Bucket] = []
    bucket = _hour(start, zone) if interval == "hour" else _day(_FLOORS[interval](_today(zone, start)), zone)
    while bucket.start < end:
        following = _next_hour(bucket, zone) if interval == "hour" else _next_day(bucket, zone, interval)
        # A day that a zone left out, as Samoa did on 30 December 2011, has no instant.
        if following.start > bucket.start:
            buckets.append(bucket)
        if len(buckets) > MAX_BUCKETS:
            wanted = f"at most {MAX_BUCKETS} buckets: choose a wider interval or a shorter range"
            raise Unprocessable.of("interval", wanted, reason="RANGE_TOO_LARGE")
        bucket = following
    return tuple(buckets)


def _day(day: date, zone: zoneinfo.ZoneInfo) -> Bucket:
    return Bucket(midnight(day, zone), day.isoformat())


def _next_day(bucket: Bucket, zone: zoneinfo.ZoneInfo, interval: str) -> Bucket:
    return _day(_STEPS[interval](date.fromisoformat(bucket.label)), zone)


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


_FLOORS: dict[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
}
_STEPS: dict[str, Callable[[date], date]] = {
    "day": lambda day: day + _DAY,
    "week": lambda day: day + 7 * _DAY,
    "month": _next_month,
}


def _hour(instant: datetime, zone: zoneinfo.ZoneInfo) -> Bucket:
    """The hour that the clocks show at that instant; the one that is shown twice a year is two."""
    start = instant
    while _shown(start - _GRAIN, zone) == _shown(instant, zone):
        start -= _GRAIN
    return Bucket(start, start.astimezone(zone).isoformat())


def _next_hour(bucket: Bucket, zone: zoneinfo.ZoneInfo) -> Bucket:
    start = bucket.start + _GRAIN
    while _shown(start, zone) == _shown(bucket.start, zone):
        start += _GRAIN
    return Bucket(start, start.astimezone(zone).isoformat())


def _shown(instant: datetime, zone: zoneinfo.ZoneInfo) -> tuple[date, int, int]:
    local = instant.astimezone(zone)
    return local.date(), local.hour, local.fold
