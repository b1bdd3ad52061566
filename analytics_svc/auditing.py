"""Whether the views still say what the raw events say, view by view and month by month."""
# ruff: noqa: S608 - queries are put together from what the database itself says of its views

from collections.abc import AsyncIterator

import structlog
from prometheus_client import Gauge

from analytics_svc.clickhouse import ClickHouse, Row
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
    all_months = await months(clickhouse)
    for view in await views(clickhouse):
        drifted[view.table] = 0
        # What has no time of its own can only be compared whole.
        for month in all_months if view.timed else [0]:
            found = await _difference(clickhouse, view, month)
            if found:
                log.error("a view differs from the raw events", view=view.table, month=month, difference=found)
            drifted[view.table] += found
            yield f"{view.table} is compared" + (f" for {month}" if month else "")
        _drift.labels(view.table).set(drifted[view.table])
    _audited.set_to_current_time()
    wrong = [f"{table} differs by {by} from the raw events" for table, by in drifted.items() if by]
    yield "; ".join(wrong) or f"{len(drifted)} views agree with the raw events"


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
