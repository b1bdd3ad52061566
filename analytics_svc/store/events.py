"""Events go in; how new the newest is."""

from collections.abc import Sequence
from datetime import UTC, datetime

from analytics_svc.clickhouse import ClickHouse
from analytics_svc.rows import EventRow
from analytics_svc.store.spans import whole

# A server takes 128 KiB a parameter.
_IDS_AT_ONCE = 1000

_SEEN = """
SELECT event_id FROM events
WHERE type IN {types:Array(String)} AND toStartOfHour(ts) IN {hours:Array(DateTime('UTC'))}
    AND event_id IN {ids:Array(String)} AND (batch = {batch:String}) = {own:Bool}
"""

_NEWEST = "SELECT count(), toUnixTimestamp64Milli(max(ts)) FROM events"


async def add_events(clickhouse: ClickHouse, rows: Sequence[EventRow], *, batch: str) -> None:
    """Insert the rows; the same batch again is nothing new, neither to the table nor to the views."""
    await clickhouse.insert("events", EventRow._fields, rows, token=batch)


async def unseen(clickhouse: ClickHouse, rows: Sequence[EventRow], *, batch: str) -> list[EventRow]:
    """The rows without copies of one another and of events that an earlier batch brought.

    The stream itself refuses copies, but only for two hours. What this very batch inserted before a crash does not
    count as earlier, so that the answer is the same when it is tried again.
    """
    once = list({row.event_id: row for row in reversed(rows)}.values())[::-1]
    seen = await _seen(clickhouse, once, batch=batch, own=False)
    return [row for row in once if row.event_id not in seen]


async def lacking(clickhouse: ClickHouse, rows: Sequence[EventRow], *, batch: str) -> list[EventRow]:
    """The rows of the batch that the table does not have."""
    seen = await _seen(clickhouse, rows, batch=batch, own=True)
    return [row for row in rows if row.event_id not in seen]


async def _seen(clickhouse: ClickHouse, rows: Sequence[EventRow], *, batch: str, own: bool) -> set[object]:
    """The ids of those that this batch itself, or an earlier one, has brought."""
    seen: set[object] = set()
    for start in range(0, len(rows), _IDS_AT_ONCE):
        seen |= await _seen_at_once(clickhouse, rows[start : start + _IDS_AT_ONCE], batch, own)
    return seen


async def _seen_at_once(clickhouse: ClickHouse, rows: Sequence[EventRow], batch: str, own: bool) -> set[object]:
    # A copy has the same type and time: with them, the table's order leads to it.
    parameters = {
        "types": sorted({row.type for row in rows}),
        "hours": sorted({row.ts.astimezone(UTC).replace(minute=0, second=0, microsecond=0) for row in rows}),
        "ids": [row.event_id for row in rows],
        "batch": batch,
        "own": own,
    }
    return {row[0] for row in await clickhouse.query(_SEEN, parameters)}


async def newest_event(clickhouse: ClickHouse) -> datetime | None:
    """The time of the newest event that is counted."""
    [(count, milliseconds)] = await clickhouse.query(_NEWEST)
    return datetime.fromtimestamp(whole(milliseconds) / 1000, UTC) if count else None
