"""Whether the views still say what the raw events say, view by view and month by month.

Where old rows are deleted, only months are compared of which both sides still have all.
"""
# ruff: noqa: S608 - queries are put together from what the database itself says of its views

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import Gauge

from analytics_svc.clickhouse import ClickHouse, Row
from analytics_svc.schema import kept_days
from analytics_svc.views import View, months, views

log = structlog.get_logger(__name__)

_drift = Gauge("analytics_view_drift", "Differences between a view and the raw events at the last audit.", ["view"])
_audited = Gauge("analytics_last_audit_timestamp_seconds", "When the last audit ended.")


async def audit(clickhouse: ClickHouse) -> AsyncIterator[str]:
    """Compare, and give after each step what was compared, at last what came out.

    No event may be inserted while a step runs.
    What a view drifted by is the number of rows that one side alone has, and the difference of each sum.
    """
    drifted: dict[str, int] = {}
    for view in await views(clickhouse):
        spans = await _comparable(clickhouse, view)
        if not spans:
            continue
        drifted[view.table] = 0
        for month in spans:
            found = await _difference(clickhouse, view, month)
            if found:
                log.error("a view differs from the raw events", view=view.table, month=month, difference=found)
            drifted[view.table] += found
            yield f"{view.table} is compared" + (f" for {month}" if month else "")
        _drift.labels(view.table).set(drifted[view.table])
    _audited.set_to_current_time()
    wrong = [f"{table} differs by {by} from the raw events" for table, by in drifted.items() if by]
    yield "; ".join(wrong) or f"{len(drifted)} views agree with the raw events"


async def _comparable(clickhouse: ClickHouse, view: View) -> Sequence[int]:
    """The months of which neither side has lost a row; [0] for all time, which is all that a view without times has."""
    kept = [days for table in ("events", view.table) if (days := await kept_days(clickhouse, table))]
    if not view.timed:
        return [] if kept else [0]
    lost = datetime.now(UTC) - timedelta(days=min(kept)) if kept else datetime.min.replace(tzinfo=UTC)
    return [month for month in await months(clickhouse) if month > lost.year * 100 + lost.month]


async def _difference(clickhouse: ClickHouse, view: View, month: int) -> int:
    kept = await _figures(clickhouse, view, source=view.table, which=f"toYYYYMM(b) = {month}" if month else "1")
    events = view.over(f"toYYYYMM(ts) = {month}" if month else "1")
    true = await _figures(clickhouse, view, source=f"({events})", which="1")
    return sum(abs(int(str(one)) - int(str(other))) for one, other in zip(kept, true, strict=True))


async def _figures(clickhouse: ClickHouse, view: View, *, source: str, which: str) -> Row:
    """How many rows there are, and the sum of each column that has sums."""
    sums = "".join(f", toInt64(sum({column}))" for column in view.sums)
    [row] = await clickhouse.query(f"SELECT uniqExact({', '.join(view.keys)}){sums} FROM {source} WHERE {which}")
    return row
