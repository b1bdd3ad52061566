"""The state of things at a moment."""
# ruff: noqa: S608 - queries are put together from texts of these files only; values are bound

from datetime import datetime, timedelta
from typing import NamedTuple

from analytics_svc.clickhouse import ClickHouse
from analytics_svc.ranges import Range
from analytics_svc.store.spans import WITHIN, wholes, within

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
    (SELECT sum(n) FROM users_15m WHERE type = 'auth.user.registered' AND {WITHIN}),
    sum(messages), sum(completions), sum(failures), sum(cost_micros),
    (SELECT sum(amount_minor) FROM revenue_15m
        WHERE currency = {{currency:String}} AND type = 'billing.payment.succeeded' AND {WITHIN})
FROM chat_15m WHERE {WITHIN}
"""


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


async def lately(clickhouse: ClickHouse, now: datetime) -> Lately:
    parameters = {"now": now, "five": now - timedelta(minutes=5), "thirty": now - timedelta(minutes=30)}
    [row] = await clickhouse.query(_LATELY, parameters)
    return Lately(*wholes(row))


async def today(clickhouse: ClickHouse, span: Range, *, currency: str) -> Today:
    [row] = await clickhouse.query(_TODAY, within(span) | {"currency": currency})
    return Today(*wholes(row))
