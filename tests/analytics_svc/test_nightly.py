"""When the work of the night is due: the pure rule, in every kind of zone and on days when clocks change."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from analytics_svc.nightly import Nightly
from analytics_svc.settings import AnalyticsSettings


@pytest.mark.parametrize(
    ("text", "after", "due"),
    [
        ("03:00", "2026-01-10T02:59Z", "2026-01-10T03:00Z"),
        ("03:00", "2026-01-10T03:00Z", "2026-01-11T03:00Z"),
        ("00:00", "2026-01-31T23:59Z", "2026-02-01T00:00Z"),
        # The day of a zone is not the day of UTC.
        ("03:00 Asia/Kathmandu", "2026-01-10T21:00Z", "2026-01-10T21:15Z"),
        ("23:30 America/St_Johns", "2026-01-10T03:01Z", "2026-01-11T03:00Z"),
        # Clocks skip 02:30 on 29 March, and show it twice on 25 October.
        ("02:30 Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T01:30Z"),
        ("02:30 Europe/Berlin", "2026-03-29T01:30Z", "2026-03-30T00:30Z"),
        ("02:30 Europe/Berlin", "2026-10-24T12:00Z", "2026-10-25T00:30Z"),
        ("02:30 Europe/Berlin", "2026-10-25T00:30Z", "2026-10-26T01:30Z"),
        # Samoa had no 30 December 2011.
        ("03:00 Pacific/Apia", "2011-12-29T13:00Z", "2011-12-30T13:00Z"),
        ("03:00 Pacific/Apia", "2011-12-30T13:00Z", "2011-12-31T13:00Z"),
    ],
)
def test_it_is_due_when_clocks_of_the_zone_show_the_time(text: str, after: str, due: str) -> None:
    assert Nightly.parse(text).next_after(datetime.fromisoformat(after)) == datetime.fromisoformat(due)


@given(
    moment=st.integers(946684800, 4070908800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    at=st.times().map(lambda time: format(time, "%H:%M")),
    zone=st.sampled_from(["UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati"]),
)
def test_it_is_due_within_a_day_and_the_hours_by_which_clocks_change(moment: datetime, at: str, zone: str) -> None:
    due = Nightly.parse(f"{at} {zone}").next_after(moment)

    assert 0 < (due - moment).total_seconds() <= 26 * 3600


@pytest.mark.parametrize("text", ["", "3:00", "24:00", "03:60", "03:00:00", "03:00 Mars/Base", "03:00 ", "0 3 * * *"])
def test_a_wrong_time_is_refused_when_the_service_starts(text: str) -> None:
    with pytest.raises(ValidationError, match="must be a time of day, such as 03:00"):
        AnalyticsSettings(analytics_audit_at=text)
