"""Every report agrees with the same figures computed in plain Python from the same events."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from hashlib import sha256
from itertools import cycle, pairwise
from typing import Any

import pytest
from chatmesh.analytics.v1 import analytics_pb2 as pb
from chatmesh.events.v1 import events_pb2 as events
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.analytics_svc.agreement.asked import Asked
from tests.analytics_svc.agreement.computed import REPORTS
from tests.analytics_svc.agreement.computing import of, people
from tests.analytics_svc.agreement.now import GetOverview
from tests.analytics_svc.agreement.people import GetTopUsers
from tests.analytics_svc.agreement.year import HISTORY_CURRENCIES, Fact
from tests.analytics_svc.analyst import Analytics

NEPAL = timezone(timedelta(hours=5, minutes=45))
ASKED = [
    Asked(date(2024, 3, 1), date(2025, 2, 28), interval="month"),
    Asked(date(2024, 5, 2), date(2024, 9, 16), "Asia/Kathmandu", "week"),
    # Newfoundland is three and a half hours behind in winter; its clocks go forward on 10 March 2024.
    Asked(date(2024, 3, 1), date(2024, 4, 15), "America/St_Johns"),
    Asked(date(2024, 10, 25), date(2024, 11, 10), "America/New_York", "hour"),
    Asked(datetime(2024, 8, 1, 10, 15, tzinfo=NEPAL), datetime(2024, 9, 1, 0, 30, tzinfo=UTC), "Europe/Berlin"),
    Asked(date(2001, 1, 1), date(2001, 1, 2)),
]
# Values of the fields that narrow a report down.
CHOICES: dict[str, list[str | int]] = {
    "plan": ["pro", "nobody's"],
    "provider": ["openai"],
    "model": ["claude"],
    "currency": ["eur", "jpy"],
    "limit": [3],
    "by": ["messages", "cost"],
}


def asked_of(rpc: str, message: Message) -> list[Asked]:
    """All ranges, and the longest with each choice that the report has."""
    fields = message.DESCRIPTOR.fields_by_name
    intervals = {"hour": "day"} if rpc == "GetRetention" else {}
    ranges = [Asked(each.first, each.last, each.zone, intervals.get(each.interval, each.interval)) for each in ASKED]
    longest = ranges[0]
    narrowed = [
        Asked(longest.first, longest.last, longest.zone, longest.interval, {name: value})
        for name, values in CHOICES.items()
        if name in fields
        for value in values
    ]
    return ranges + narrowed


def plain(value: Any) -> Any:
    """A message as a dictionary of all of its fields; what is absent is None."""
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC)
    if isinstance(value, Message):
        return {
            field.name: plain(getattr(value, field.name))
            if not field.has_presence or value.HasField(field.name)
            else None
            for field in value.DESCRIPTOR.fields
        }
    return [plain(each) for each in value] if hasattr(value, "__len__") and not isinstance(value, str) else value


async def answer(year: Analytics, rpc: str, asked: Asked) -> Any:
    interval = (
        {"interval": asked.interval} if "interval" in getattr(pb, f"{rpc}Request").DESCRIPTOR.fields_by_name else {}
    )
    fields = {
        "start_date": asked.first.isoformat(),
        "end_date": asked.last.isoformat(),
        "timezone": asked.zone,
        **interval,
        **asked.only,
    }
    return plain((await year.ask(rpc, **fields)).data)


def pseudonymous(facts: list[Fact]) -> Callable[[str], str]:
    """How people are shown: those who were deleted, by a pseudonym."""
    deleted = people(of(facts, events.UserDeleted))
    return lambda user: f"deleted-{sha256(user.encode()).hexdigest()}" if user in deleted else user


async def test_the_people_who_used_most_agree_with_the_facts(year: Analytics, facts: list[Fact]) -> None:
    shown = pseudonymous(facts)
    for asked in asked_of("GetTopUsers", pb.GetTopUsersRequest()):
        assert await answer(year, "GetTopUsers", asked) == GetTopUsers(facts, asked, shown), str(asked)


@pytest.mark.parametrize("rpc", sorted(REPORTS.keys() - {"GetTopUsers"}))
async def test_a_report_agrees_with_the_facts(year: Analytics, facts: list[Fact], rpc: str) -> None:
    for asked in asked_of(rpc, getattr(pb, f"{rpc}Request")()):
        assert await answer(year, rpc, asked) == REPORTS[rpc](facts, asked), str(asked)


async def test_the_overview_agrees_with_the_facts(year: Analytics, facts: list[Fact]) -> None:
    for moment in (datetime(2024, 11, 3, 17, 20, tzinfo=UTC), busiest(facts)):
        overview = plain((await year.overview(as_of=moment.isoformat(), timezone="Asia/Kathmandu")).data)

        assert overview.pop("ingest_lag_seconds") == 0
        assert overview.pop("backlog_events") == 0
        assert overview == GetOverview(facts, moment, "Asia/Kathmandu")


def busiest(facts: list[Fact]) -> datetime:
    """The end of the half hour with the most messages."""
    sent = [fact.time for fact in of(facts, events.MessageSent)]
    half_hour = timedelta(minutes=30)
    return max(sent, key=lambda end: sum(end - half_hour < time <= end for time in sent))


async def test_what_moved_mrr_adds_up_whatever_the_history(year: Analytics) -> None:
    # Somewhere in the middle of each: what was before it must be known, too.
    asked = {"start_date": "2024-05-05", "end_date": "2024-10-10", "timezone": "Asia/Kathmandu"}
    for currency, interval in zip(HISTORY_CURRENCIES, cycle(["day", "week", "month"]), strict=False):
        rows, mrr, churn = await asyncio.gather(
            year.ask("GetMrrMovements", **asked, currency=currency, interval=interval),
            year.ask("GetMrr", **asked, currency=currency, interval=interval),
            year.ask("GetChurn", **asked, currency=currency),
        )

        for row in rows.data:
            assert row.net == row.new + row.expansion + row.contraction + row.churn + row.reactivation
            assert row.mrr_start + row.net == row.mrr_end
        assert all(earlier.mrr_end == later.mrr_start for earlier, later in pairwise(rows.data))
        assert (rows.data[0].mrr_start, rows.data[-1].mrr_end) == (churn.data.mrr_start, churn.data.mrr_end)
        assert mrr.data.mrr_minor == churn.data.mrr_end
        left = churn.data.subscribers_at_start + churn.data.new + churn.data.reactivated - churn.data.churned
        assert left == mrr.data.active_subscribers


async def test_the_histories_agree_with_the_facts(year: Analytics, facts: list[Fact]) -> None:
    for currency in HISTORY_CURRENCIES:
        asked = Asked(date(2024, 5, 5), date(2024, 10, 10), "America/St_Johns", "month", {"currency": currency})
        for rpc in ("GetMrrMovements", "GetChurn", "GetLtv"):
            assert await answer(year, rpc, asked) == REPORTS[rpc](facts, asked), str(asked)
