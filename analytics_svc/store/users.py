"""Reports on people."""
# ruff: noqa: S608 - queries are put together from texts of these files only; values are bound

from datetime import UTC, datetime
from typing import Literal, NamedTuple, cast

from analytics_svc.clickhouse import ClickHouse
from analytics_svc.ranges import Range
from analytics_svc.store.spans import OF_PLAN, WITHIN, bucket_of, bucketed, whole, wholes, within

_USERS = f"""
SELECT {bucket_of("b")} AS bucket, sumIf(n, type = 'auth.user.registered'), sumIf(n, type = 'auth.user.verified'),
    sumIf(n, type = 'auth.user.deleted')
FROM users_15m WHERE {WITHIN} GROUP BY bucket
"""

_ACCOUNTS_BEFORE = """
SELECT toInt64(sumIf(n, type = 'auth.user.registered')) - toInt64(sumIf(n, type = 'auth.user.deleted'))
FROM users_15m WHERE b < toDateTime({start:Int64}, 'UTC')
"""

_ACTIVE = f"""
SELECT {bucket_of("b")} AS bucket, uniqMerge(users) FROM active_15m WHERE {WITHIN} AND {OF_PLAN} GROUP BY bucket
"""

_ACTIVE_IN_ALL = f"""
SELECT uniqMerge(users), uniqMergeIf(users, b >= toDateTime({{since:Int64}}, 'UTC')) FROM active_15m WHERE {WITHIN}
"""

_TOP = {
    by: f"""
SELECT user_id, sum(messages) AS sent, sum(tokens) AS used, sum(cost_micros) AS cost
FROM user_usage_15m WHERE {WITHIN} AND {OF_PLAN}
GROUP BY user_id HAVING {column} > 0 ORDER BY {column} DESC, user_id LIMIT {{limit:UInt32}}
"""
    for by, column in {"messages": "sent", "tokens": "used", "cost": "cost"}.items()
}

_LAST_MESSAGES = """
SELECT user_id, toUnixTimestamp64Milli(max(last_message)) FROM user_lifecycle
WHERE user_id IN {users:Array(String)} GROUP BY user_id
"""

# Who registered in the span, and when they did what for the first time.
_REGISTERED = """
SELECT user_id, min(user_lifecycle.registered) AS registered, min(user_lifecycle.verified) AS verified,
    min(user_lifecycle.first_message) AS first_message, min(user_lifecycle.first_paid) AS first_paid
FROM user_lifecycle GROUP BY user_id
HAVING registered >= toDateTime({start:Int64}, 'UTC') AND registered < toDateTime({end:Int64}, 'UTC')
"""

_COHORTS = f"SELECT {bucket_of('registered')} AS cohort, count() FROM ({_REGISTERED}) GROUP BY cohort"

_RETURNED = f"""
SELECT {bucket_of("registered")} AS cohort, arrayJoin(buckets) AS bucket, count()
FROM (
    SELECT user_id, groupUniqArray({bucket_of("b")}) AS buckets FROM user_usage_15m WHERE {WITHIN} AND messages > 0
    GROUP BY user_id
) AS active
INNER JOIN ({_REGISTERED}) AS people USING user_id
GROUP BY cohort, bucket
"""

_FUNNEL = f"""
WITH toDateTime({{end:Int64}}, 'UTC') AS until
SELECT count(), countIf(verified < until), countIf(verified < until AND first_message < until),
    countIf(verified < until AND first_message < until AND first_paid < until)
FROM ({_REGISTERED})
"""


class Users(NamedTuple):
    """What happened to accounts in one bucket."""

    registered: int = 0
    verified: int = 0
    deleted: int = 0


class TopUser(NamedTuple):
    """What somebody used; tokens of input and output together."""

    user_id: str
    messages: int
    tokens: int
    cost_micros: int


class Funnel(NamedTuple):
    """How many took a step and all before it."""

    registered: int
    verified: int
    first_message: int
    paid: int


async def users(clickhouse: ClickHouse, span: Range) -> dict[int, Users]:
    """By the bucket's start in Unix seconds, as in all series here; buckets where nothing happened are left out."""
    return {whole(start): Users(*wholes(rest)) for start, *rest in await clickhouse.query(_USERS, bucketed(span))}


async def accounts_before(clickhouse: ClickHouse, span: Range) -> int:
    """Accounts at the start of the range."""
    [(accounts,)] = await clickhouse.query(_ACCOUNTS_BEFORE, within(span))
    return whole(accounts)


async def active_users(clickhouse: ClickHouse, span: Range, *, plan: str = "") -> dict[int, int]:
    rows = await clickhouse.query(_ACTIVE, bucketed(span) | {"plan": plan})
    return {whole(start): whole(people) for start, people in rows}


async def active_in_all(clickhouse: ClickHouse, span: Range, *, since: datetime) -> tuple[int, int]:
    """People who were active in the span, and in its part from `since` on."""
    [(people, lately)] = await clickhouse.query(_ACTIVE_IN_ALL, within(span) | {"since": int(since.timestamp())})
    return whole(people), whole(lately)


async def top_users(
    clickhouse: ClickHouse, span: Range, *, by: Literal["messages", "tokens", "cost"], plan: str, limit: int
) -> list[TopUser]:
    """Those who used most, of those who used any."""
    rows = await clickhouse.query(_TOP[by], within(span) | {"plan": plan, "limit": limit})
    return [TopUser(str(user), *wholes(rest)) for user, *rest in rows]


async def last_messages(clickhouse: ClickHouse, user_ids: list[str]) -> dict[str, datetime]:
    """When those of them who ever sent a message sent their last."""
    rows = await clickhouse.query(_LAST_MESSAGES, {"users": user_ids})
    return {str(user): datetime.fromtimestamp(whole(at) / 1000, UTC) for user, at in rows if at}


async def cohorts(clickhouse: ClickHouse, span: Range) -> dict[int, int]:
    """How many registered, by the bucket they did in."""
    rows = await clickhouse.query(_COHORTS, bucketed(span))
    return {whole(start): whole(people) for start, people in rows}


async def returned(clickhouse: ClickHouse, span: Range) -> dict[tuple[int, int], int]:
    """How many of a cohort sent a message in a bucket, by the starts of both."""
    rows = await clickhouse.query(_RETURNED, bucketed(span))
    return {(whole(cohort), whole(bucket)): whole(people) for cohort, bucket, people in rows}


async def funnel(clickhouse: ClickHouse, span: Range) -> Funnel:
    [row] = await clickhouse.query(_FUNNEL, within(span))
    return Funnel(*wholes(cast("list[object]", row)))
