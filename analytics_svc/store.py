"""All SQL of the analytics service. Spans are instants, cut into buckets at the starts that `ranges` computed."""
# ruff: noqa: S608 - queries are put together from texts of this file only; values are bound

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

from analytics_svc.clickhouse import ClickHouse, Row
from analytics_svc.ranges import Range
from analytics_svc.rows import EventRow

# A server takes 128 KiB a parameter.
_IDS_AT_ONCE = 1000

_WITHIN = "b >= toDateTime({start:Int64}, 'UTC') AND b < toDateTime({end:Int64}, 'UTC')"
_BUCKET = "roundDown(toInt64(toUnixTimestamp(b)), {starts:Array(Int64)})"
_OF_PLAN = "({plan:String} = '' OR plan = {plan:String})"

_UNSEEN = """
SELECT event_id FROM events
WHERE type IN {types:Array(String)} AND toStartOfHour(ts) IN {hours:Array(DateTime('UTC'))}
    AND event_id IN {ids:Array(String)} AND batch != {batch:String}
"""

_USERS = f"""
SELECT {_BUCKET} AS bucket, sumIf(n, type = 'auth.user.registered'), sumIf(n, type = 'auth.user.verified'),
    sumIf(n, type = 'auth.user.deleted')
FROM users_15m WHERE {_WITHIN} GROUP BY bucket
"""

_ACCOUNTS_BEFORE = """
SELECT toInt64(sumIf(n, type = 'auth.user.registered')) - toInt64(sumIf(n, type = 'auth.user.deleted'))
FROM users_15m WHERE b < toDateTime({start:Int64}, 'UTC')
"""

_ACTIVE = f"""
SELECT {_BUCKET} AS bucket, uniqMerge(users) FROM active_15m WHERE {_WITHIN} AND {_OF_PLAN} GROUP BY bucket
"""

_CHAT = f"""
SELECT {_BUCKET} AS bucket, sum(messages), sum(completions), sum(failures), sum(conversations), uniqMerge(users)
FROM chat_15m WHERE {_WITHIN} AND {_OF_PLAN} GROUP BY bucket
"""

_BY_PROVIDER = f"""
SELECT provider, sum(n) AS answers FROM model_15m
WHERE type = 'chat.completion.succeeded' AND {_WITHIN} AND {_OF_PLAN}
GROUP BY provider ORDER BY answers DESC, provider
"""

# The last minutes to the second, which no view can tell.
_LATELY = """
SELECT uniqExactIf(user_id, type = 'chat.message.sent' AND ts > {five:DateTime64(3, 'UTC')}),
    uniqExactIf(user_id, type = 'chat.message.sent'), countIf(type = 'chat.message.sent'),
    countIf(type = 'chat.completion.failed')
FROM events
WHERE type IN ('chat.message.sent', 'chat.completion.failed')
    AND toStartOfHour(ts) >= toStartOfHour({thirty:DateTime64(3, 'UTC')})
    AND ts > {thirty:DateTime64(3, 'UTC')} AND ts <= {now:DateTime64(3, 'UTC')}
"""

_TODAY = f"""
SELECT
    (SELECT sum(n) FROM users_15m WHERE type = 'auth.user.registered' AND {_WITHIN}),
    sum(messages), sum(completions), sum(failures), sum(cost_micros),
    (SELECT sum(amount_minor) FROM revenue_15m
        WHERE currency = {{currency:String}} AND type = 'billing.payment.succeeded' AND {_WITHIN})
FROM chat_15m WHERE {_WITHIN}
"""

_MRR = """
SELECT sum(mrr), countIf(mrr > 0) FROM (
    SELECT argMax(mrr_after_minor, (ts, seq)) AS mrr FROM mrr_changes FINAL
    WHERE currency = {currency:String} AND ts <= {now:DateTime64(3, 'UTC')} GROUP BY user_id
)
"""

_NEWEST = "SELECT count(), toUnixTimestamp64Milli(max(ts)) FROM events"


class Users(NamedTuple):
    """What happened to accounts in one bucket."""

    registered: int = 0
    verified: int = 0
    deleted: int = 0


class Chat(NamedTuple):
    """What happened in conversations in one bucket."""

    messages: int = 0
    completions: int = 0
    failures: int = 0
    conversations: int = 0
    active_users: int = 0


class Lately(NamedTuple):
    """The last 30 minutes, and the people of the last 5."""

    active_5m: int
    active_30m: int
    messages: int
    errors: int


class Today(NamedTuple):
    """What happened since midnight; money in minor units of the currency asked for."""

    signups: int
    messages: int
    completions: int
    failures: int
    cost_micros: int
    gross_minor: int


class Mrr(NamedTuple):
    """Monthly recurring revenue, and how many customers it comes from."""

    minor: int
    subscribers: int


async def add_events(clickhouse: ClickHouse, rows: Sequence[EventRow], *, batch: str) -> None:
    """Insert the rows; the same batch again is nothing new, neither to the table nor to the views."""
    await clickhouse.insert("events", EventRow._fields, rows, token=batch)


async def unseen(clickhouse: ClickHouse, rows: Sequence[EventRow], *, batch: str) -> list[EventRow]:
    """The rows without copies of one another and of events that an earlier batch brought.

    The stream itself refuses copies, but only for two hours. What this very batch inserted before a crash does not
    count as earlier, so that the answer is the same when it is tried again.
    """
    once = list({row.event_id: row for row in reversed(rows)}.values())[::-1]
    seen: set[object] = set()
    for start in range(0, len(once), _IDS_AT_ONCE):
        seen |= await _seen(clickhouse, once[start : start + _IDS_AT_ONCE], batch)
    return [row for row in once if row.event_id not in seen]


async def _seen(clickhouse: ClickHouse, rows: Sequence[EventRow], batch: str) -> set[object]:
    # A copy has the same type and time: with them, the table's order leads to it.
    parameters = {
        "types": sorted({row.type for row in rows}),
        "hours": sorted({row.ts.astimezone(UTC).replace(minute=0, second=0, microsecond=0) for row in rows}),
        "ids": [row.event_id for row in rows],
        "batch": batch,
    }
    return {row[0] for row in await clickhouse.query(_UNSEEN, parameters)}


async def newest_event(clickhouse: ClickHouse) -> datetime | None:
    """The time of the newest event that is counted."""
    [(count, milliseconds)] = await clickhouse.query(_NEWEST)
    return datetime.fromtimestamp(_int(milliseconds) / 1000, UTC) if count else None


async def users(clickhouse: ClickHouse, span: Range) -> dict[int, Users]:
    """By the bucket's start in Unix seconds, as in all series here; buckets where nothing happened are left out."""
    return {_int(start): Users(*_ints(rest)) for start, *rest in await clickhouse.query(_USERS, _series(span))}


async def accounts_before(clickhouse: ClickHouse, span: Range) -> int:
    """Accounts at the start of the range."""
    [(accounts,)] = await clickhouse.query(_ACCOUNTS_BEFORE, _span(span))
    return _int(accounts)


async def active_users(clickhouse: ClickHouse, span: Range, *, plan: str) -> dict[int, int]:
    rows = await clickhouse.query(_ACTIVE, _series(span) | {"plan": plan})
    return {_int(start): _int(people) for start, people in rows}


async def chat(clickhouse: ClickHouse, span: Range, *, plan: str) -> dict[int, Chat]:
    rows = await clickhouse.query(_CHAT, _series(span) | {"plan": plan})
    return {_int(start): Chat(*_ints(rest)) for start, *rest in rows}


async def answers_by_provider(clickhouse: ClickHouse, span: Range, *, plan: str) -> list[tuple[str, int]]:
    """The provider with the most answers first."""
    rows = await clickhouse.query(_BY_PROVIDER, _span(span) | {"plan": plan})
    return [(str(provider), _int(answers)) for provider, answers in rows]


async def lately(clickhouse: ClickHouse, now: datetime) -> Lately:
    parameters = {"now": now, "five": now - timedelta(minutes=5), "thirty": now - timedelta(minutes=30)}
    [row] = await clickhouse.query(_LATELY, parameters)
    return Lately(*_ints(row))


async def today(clickhouse: ClickHouse, span: Range, *, currency: str) -> Today:
    [row] = await clickhouse.query(_TODAY, _span(span) | {"currency": currency})
    return Today(*_ints(row))


async def mrr(clickhouse: ClickHouse, now: datetime, *, currency: str) -> Mrr:
    """Monthly recurring revenue at that moment, from the last change of each customer."""
    [row] = await clickhouse.query(_MRR, {"now": now, "currency": currency})
    return Mrr(*_ints(row))


def _span(span: Range) -> dict[str, object]:
    return {"start": int(span.start.timestamp()), "end": int(span.end.timestamp())}


def _series(span: Range) -> dict[str, object]:
    return {**_span(span), "starts": [bucket.unix for bucket in span.buckets]}


def _ints(values: Row) -> list[int]:
    return [_int(value) for value in values]


def _int(value: object) -> int:
    return int(cast("int | None", value) or 0)
