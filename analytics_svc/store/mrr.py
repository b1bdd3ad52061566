"""Reports on monthly recurring revenue, from the log of its changes.

What a change was is told by the one before it of the same customer, so whatever comes late finds its place. A
customer's MRR before the first change is 0.
"""
# ruff: noqa: S608 - queries are put together from texts of these files only; values are bound

from datetime import datetime
from typing import NamedTuple

from analytics_svc.clickhouse import ClickHouse
from analytics_svc.ranges import Range
from analytics_svc.store.spans import bucket_of, bucketed, whole, wholes, within

_START = "toDateTime({start:Int64}, 'UTC')"
_LOG = "FROM mrr_changes FINAL WHERE currency = {currency:String} AND ts < toDateTime({end:Int64}, 'UTC')"

# `most` is the most that the customer ever paid before.
_CHANGES = f"""
SELECT ts, mrr_after_minor AS after,
    lagInFrame(mrr_after_minor) OVER (
        PARTITION BY user_id ORDER BY ts, seq ROWS BETWEEN 1 PRECEDING AND CURRENT ROW
    ) AS before,
    max(mrr_after_minor) OVER (
        PARTITION BY user_id ORDER BY ts, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS most
{_LOG}
"""

_MOVEMENTS = f"""
SELECT if(ts < {_START}, 0, {bucket_of("ts")}) AS bucket,
    sumIf(after, before = 0 AND most = 0),
    sumIf(after - before, before > 0 AND after > before),
    sumIf(after - before, after > 0 AND after < before),
    sumIf(after - before, before > 0 AND after = 0),
    sumIf(after, before = 0 AND most > 0)
FROM ({_CHANGES}) GROUP BY bucket
"""

_STANDINGS = f"""
SELECT
    countIf(at_start > 0), countIf(is_new), countIf(at_end > 0 AND at_start = 0 AND NOT is_new),
    countIf(at_end = 0 AND (at_start > 0 OR is_new)), countIf(at_end > 0), sum(at_start), sum(at_end),
    sumIf(at_start, at_end = 0), sumIf(at_start - at_end, at_end > 0 AND at_end < at_start),
    sumIf(at_end - at_start, at_start > 0 AND at_end > at_start)
FROM (
    SELECT
        argMaxIf(mrr_after_minor, (ts, seq), ts < {_START}) AS at_start,
        argMax(mrr_after_minor, (ts, seq)) AS at_end,
        maxIf(mrr_after_minor, ts < {_START}) = 0 AND maxIf(mrr_after_minor, ts >= {_START}) > 0 AS is_new
    {_LOG} GROUP BY user_id
)
"""

_MRR = """
SELECT sum(mrr), countIf(mrr > 0) FROM (
    SELECT argMax(mrr_after_minor, (ts, seq)) AS mrr FROM mrr_changes FINAL
    WHERE currency = {currency:String} AND ts <= {now:DateTime64(3, 'UTC')} GROUP BY user_id
)
"""


class Movements(NamedTuple):
    """What moved MRR in one bucket, in minor units; what made it less is negative."""

    new: int = 0
    expansion: int = 0
    contraction: int = 0
    churn: int = 0
    reactivation: int = 0

    @property
    def net(self) -> int:
        return sum(self)


class Standings(NamedTuple):
    """Customers, each counted once, by where they stand at the start of a span and at its end; amounts are MRR.

    Who is new has paid for the first time within the span; who is reactivated had paid before and did not at its start.
    The last three amounts are of those who paid at the start.
    """

    at_start: int
    new: int
    reactivated: int
    churned: int
    at_end: int
    mrr_start: int
    mrr_end: int
    churned_mrr: int
    contraction_mrr: int
    expansion_mrr: int


class Mrr(NamedTuple):
    """Monthly recurring revenue, and how many customers it comes from."""

    minor: int
    subscribers: int


async def movements(clickhouse: ClickHouse, span: Range, *, currency: str) -> tuple[int, dict[int, Movements]]:
    """MRR at the start of the span, and what moved it, by the bucket's start in Unix seconds."""
    rows = await clickhouse.query(_MOVEMENTS, bucketed(span) | {"currency": currency})
    moved = {whole(start): Movements(*wholes(rest)) for start, *rest in rows}
    return moved.pop(0, Movements()).net, moved


async def standings(clickhouse: ClickHouse, span: Range, *, currency: str) -> Standings:
    [row] = await clickhouse.query(_STANDINGS, within(span) | {"currency": currency})
    return Standings(*wholes(row))


async def mrr(clickhouse: ClickHouse, now: datetime, *, currency: str) -> Mrr:
    """Monthly recurring revenue at that moment, from the last change of each customer."""
    [row] = await clickhouse.query(_MRR, {"now": now, "currency": currency})
    return Mrr(*wholes(row))
