"""Ranges and buckets, where calendars are odd: clocks that jump, zones off the hour, ends of months."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_svc import ranges
from analytics_svc.ranges import Range
from svckit.errors import InvalidArgument

NOW = datetime(2025, 6, 15, 23, 30, tzinfo=UTC)
QUARTER_HOUR = 900


def parse(start: str = "", end: str = "", interval: str = "day", zone: str = "") -> Range:
    return ranges.parse(start_date=start, end_date=end, timezone=zone, interval=interval, now=NOW)


def labels(span: Range) -> list[str]:
    return [bucket.label for bucket in span.buckets]


def hours(span: Range) -> list[float]:
    """How long each bucket is."""
    ends = [*(bucket.start for bucket in span.buckets[1:]), span.end]
    return [(end - bucket.start) / timedelta(hours=1) for bucket, end in zip(span.buckets, ends, strict=True)]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_nothing_given_is_the_last_thirty_days() -> None:
    span = parse()

    assert (span.first, span.last) == ("2025-05-17", "2025-06-15")
    assert (span.start, span.end) == (utc("2025-05-17"), utc("2025-06-16"))
    assert len(span.buckets) == 30


def test_today_is_the_viewers_today() -> None:
    assert parse(zone="Asia/Tokyo").last == "2025-06-16"


def test_an_end_alone_takes_thirty_days_before_it() -> None:
    assert parse(end="2025-03-30").first == "2025-03-01"
    assert parse(end="2025-03-31T00:00:00Z").start == utc("2025-03-01")


def test_dates_are_inclusive_and_instants_are_half_open() -> None:
    by_date = parse("2025-01-01", "2025-01-01")
    by_instant = parse("2025-01-01T00:00:00Z", "2025-01-02T00:00:00Z")

    assert (by_date.start, by_date.end) == (by_instant.start, by_instant.end) == (utc("2025-01-01"), utc("2025-01-02"))


def test_instants_are_widened_to_quarter_hours() -> None:
    span = parse("2025-01-01T10:07:33Z", "2025-01-01T10:15:00.001Z", "hour")

    assert (span.start, span.end) == (utc("2025-01-01T10:00"), utc("2025-01-01T10:30"))
    assert span.first == "2025-01-01T10:07:33+00:00"


def test_instants_are_told_in_the_viewers_zone() -> None:
    assert parse("2025-01-01T00:00:00Z", "2025-01-02", zone="Asia/Kathmandu").first == "2025-01-01T05:45:00+05:45"


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("UTC", "2025-07-01T00:00"),
        ("Asia/Kathmandu", "2025-06-30T18:15"),  # +05:45
        ("America/St_Johns", "2025-07-01T02:30"),  # -02:30 in summer
        ("Pacific/Chatham", "2025-06-30T11:15"),  # +12:45
        ("Australia/Eucla", "2025-06-30T15:15"),  # +08:45
    ],
)
def test_a_day_begins_at_the_zones_midnight(zone: str, start: str) -> None:
    span = parse("2025-07-01", "2025-07-01", zone=zone)

    assert span.start == utc(start)
    assert span.end - span.start == timedelta(days=1)


def test_newfoundland_is_three_and_a_half_hours_behind_in_winter() -> None:
    assert parse("2025-01-01", "2025-01-01", zone="America/St_Johns").start == utc("2025-01-01T03:30")


def test_days_are_as_long_as_the_clocks_make_them() -> None:
    spring = parse("2025-03-29", "2025-03-31", zone="Europe/Berlin")
    autumn = parse("2025-10-25", "2025-10-27", zone="Europe/Berlin")

    assert hours(spring) == [24, 23, 24]
    assert hours(autumn) == [24, 25, 24]


def test_a_day_whose_midnight_is_skipped_begins_at_one() -> None:
    # Cairo, 25 April 2025: 23:59:59 was followed by 01:00.
    span = parse("2025-04-25", "2025-04-25", zone="Africa/Cairo")

    assert (span.start, hours(span)) == (utc("2025-04-24T22:00"), [23])


def test_a_day_whose_midnight_comes_twice_begins_at_the_first() -> None:
    # Havana, 2 November 2025: 00:59:59 was followed by 00:00.
    span = parse("2025-11-02", "2025-11-02", zone="America/Havana")

    assert (span.start, hours(span)) == (utc("2025-11-02T04:00"), [25])


def test_a_day_that_a_zone_left_out_is_no_bucket() -> None:
    span = parse("2011-12-29", "2011-12-31", zone="Pacific/Apia")

    assert labels(span) == ["2011-12-29", "2011-12-31"]
    assert hours(span) == [24, 24]


def test_weeks_begin_on_monday_even_before_the_range() -> None:
    span = parse("2025-01-01", "2025-01-13", "week")

    assert labels(span) == ["2024-12-30", "2025-01-06", "2025-01-13"]
    assert span.start == utc("2025-01-01")


def test_months_are_months() -> None:
    span = parse("2024-01-31", "2024-04-01", "month", "America/St_Johns")

    assert labels(span) == ["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"]


def test_a_day_of_25_hours_has_25_hour_buckets_with_labels_of_their_own() -> None:
    span = parse("2025-11-02", "2025-11-02", "hour", "America/New_York")

    assert len(set(labels(span))) == 25
    assert labels(span)[1:3] == ["2025-11-02T01:00:00-04:00", "2025-11-02T01:00:00-05:00"]
    assert hours(span) == [1] * 25


def test_a_day_of_23_hours_has_23_hour_buckets() -> None:
    span = parse("2025-03-09", "2025-03-09", "hour", "America/New_York")

    assert labels(span)[1:3] == ["2025-03-09T01:00:00-05:00", "2025-03-09T03:00:00-04:00"]
    assert len(span.buckets) == 23


def test_hours_are_those_of_the_zones_clocks() -> None:
    span = parse("2025-01-01T00:00:00Z", "2025-01-01T01:00:00Z", "hour", "Asia/Kathmandu")

    assert labels(span) == ["2025-01-01T05:00:00+05:45", "2025-01-01T06:00:00+05:45"]
    assert span.buckets[0].start == utc("2024-12-31T23:15")


def test_where_clocks_jump_by_half_an_hour_nothing_is_lost() -> None:
    # Lord Howe, 6 April 2025: 01:59:59 (+11) was followed by 01:30 (+10:30).
    span = parse("2025-04-06", "2025-04-06", "hour", "Australia/Lord_Howe")

    assert sum(hours(span)) == 24.5
    assert labels(span)[1:4] == [
        "2025-04-06T01:00:00+11:00",
        "2025-04-06T01:30:00+10:30",
        "2025-04-06T02:00:00+10:30",
    ]


def test_a_report_without_buckets_has_none() -> None:
    assert parse("2025-01-01", "2025-01-31", "").buckets == ()


@given(
    day=st.dates(datetime(2005, 1, 1).date(), datetime(2030, 1, 1).date()),  # noqa: DTZ001 - a calendar's day
    length=st.integers(1, 40),
    zone=st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})),
    interval=st.sampled_from(["hour", "day", "week", "month"]),
)
def test_buckets_cover_the_range_without_gap_or_overlap(day: datetime, length: int, zone: str, interval: str) -> None:
    span = parse(day.isoformat(), (day + timedelta(days=length - 1)).isoformat(), interval, zone)
    starts = [bucket.start for bucket in span.buckets]

    assert all(earlier < later for earlier, later in pairwise(starts))
    assert starts[0] <= span.start
    assert starts[-1] < span.end
    assert all(bucket.unix % QUARTER_HOUR == 0 for bucket in span.buckets)
    assert len(set(labels(span))) == len(span.buckets)


@pytest.mark.parametrize(
    ("start", "end", "interval", "zone", "field", "reason"),
    [
        ("2025-01-02", "2025-01-01", "day", "", "end_date", "RANGE_EMPTY"),
        ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "day", "", "end_date", "RANGE_EMPTY"),
        ("2020-01-01", "2025-01-01", "month", "", "start_date", "RANGE_TOO_LARGE"),
        ("2022-01-01", "2025-01-05", "day", "", "interval", "RANGE_TOO_LARGE"),
        ("2025-01-01", "2025-02-15T21:00:00Z", "hour", "", "interval", "RANGE_TOO_LARGE"),
        ("01/02/2025", "2025-01-05", "day", "", "start_date", "DATE_INVALID"),
        ("2025-02-30", "2025-03-05", "day", "", "start_date", "DATE_INVALID"),
        ("2025-W01-1", "2025-03-05", "day", "", "start_date", "DATE_INVALID"),
        ("20250101", "2025-03-05", "day", "", "start_date", "DATE_INVALID"),
        ("2025-01-01", "2025-01-05T10:00:00", "day", "", "end_date", "DATE_INVALID"),
        ("0001-01-01", "2025-01-02", "day", "Asia/Tokyo", "start_date", "DATE_INVALID"),
        ("2025-01-01", "9999-12-31", "day", "", "end_date", "DATE_INVALID"),
        ("2025-01-01", "2025-01-05", "day", "Mars/Olympus", "timezone", "TIMEZONE_UNKNOWN"),
        ("2025-01-01", "2025-01-05", "day", "../etc/passwd", "timezone", "TIMEZONE_UNKNOWN"),
        ("2025-01-01", "2025-01-05", "day", "America", "timezone", "TIMEZONE_UNKNOWN"),
        ("2025-01-01", "2025-01-05", "day", "localtime", "timezone", "TIMEZONE_UNKNOWN"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(
    start: str, end: str, interval: str, zone: str, field: str, reason: str
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse(start, end, interval, zone)

    assert [violation.field for violation in refusal.value.violations] == [field]
    assert refusal.value.reason == reason


def test_the_largest_ranges_are_served() -> None:
    assert len(parse("2025-01-01", "2025-02-15T20:00:00Z", "hour").buckets) == ranges.MAX_BUCKETS
    assert len(parse("2020-01-01", "2024-12-31", "month").buckets) == 60
    assert len(parse("2020-02-29", "2025-02-28", "month").buckets) == 61


def test_the_last_days_reach_back_before_what_may_be_asked_for() -> None:
    month = ranges.last_days(parse("1971-01-05", "1971-01-10T12:00:00Z", ""), 30)

    assert (month.first, month.last, len(month.buckets)) == ("1970-12-12", "1971-01-10", 30)
