"""Completes an insert that broke off: each table gets what of the batch it lacks, and nothing twice.

The batch's token alone does not do it. Outside of a cluster ClickHouse notes a token and stores the rows in two steps,
table by table: killed in between, it believes to have rows that are lost (newer versions, to lack rows that it has). So
the tables themselves are asked. Decision 52 says more.
"""
# ruff: noqa: S608 - queries are put together from what the database itself says of its views

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from itertools import count

import structlog

from analytics_svc import store
from analytics_svc.clickhouse import ClickHouse
from analytics_svc.rows import EventRow
from analytics_svc.views import View, views
from svckit.ids import new_id

_BLOCKS = """
SELECT table, max(max_block_number) FROM system.parts WHERE database = currentDatabase() AND active GROUP BY table
"""
_PLAIN = """
SELECT count() FROM system.tables
WHERE database = currentDatabase() AND name = 'events' AND engine = 'ReplacingMergeTree'
"""
_SCRATCH = "batch_again_"
# Nobody works on one for so long: whoever made it was killed.
_LEFT_BEHIND = f"""
SELECT name FROM system.tables
WHERE database = currentDatabase() AND startsWith(name, '{_SCRATCH}') AND metadata_modification_time < now() - 3600
"""

log = structlog.get_logger(__name__)


async def newest_blocks(clickhouse: ClickHouse) -> dict[str, int]:
    """The number of the newest block of each table that has any: an insert has been stored if there is a newer one."""
    return {str(table): int(str(block)) for table, block in await clickhouse.query(_BLOCKS)}


async def complete(
    clickhouse: ClickHouse, rows: Sequence[EventRow], *, batch: str, before: Mapping[str, int] | None
) -> None:
    """Insert the rows of a batch that may be in some tables and not in others; `before` are the blocks before it.

    What is there is not inserted again. When it breaks off it may be done again.
    """
    if before is None or not await _is_plain(clickhouse):
        await store.add_events(clickhouse, rows, batch=batch)
        return
    found = await views(clickhouse)
    # On a server another instance may be inserting it at this moment: only the token keeps the two apart.
    if not clickhouse.embedded or not await _is_anywhere(clickhouse, rows, found, batch=batch, before=before):
        await store.add_events(clickhouse, rows, batch=batch)
    async with _scratch(clickhouse, rows) as table:
        await _complete_events(clickhouse, await store.lacking(clickhouse, rows, batch=batch), table)
        for view in found:
            await _complete_view(clickhouse, view, table, batch=batch, before=before.get(view.table, 0))


async def _is_anywhere(
    clickhouse: ClickHouse, rows: Sequence[EventRow], found: Sequence[View], *, batch: str, before: Mapping[str, int]
) -> bool:
    """Whether any table has something of the batch."""
    now = await newest_blocks(clickhouse)
    if any(now.get(view.table, 0) > before.get(view.table, 0) for view in found):
        return True
    return len(await store.lacking(clickhouse, rows, batch=batch)) < len(rows)


async def _is_plain(clickhouse: ClickHouse) -> bool:
    """Whether tables are not replicated; in a cluster, token and rows are stored in one step."""
    [(plain,)] = await clickhouse.query(_PLAIN)
    return bool(plain)


@asynccontextmanager
async def _scratch(clickhouse: ClickHouse, rows: Sequence[EventRow]) -> AsyncIterator[str]:
    """A table like that of the events, with these rows alone, which no view follows."""
    for (name,) in await clickhouse.query(_LEFT_BEHIND):
        await clickhouse.command(f"DROP TABLE IF EXISTS {name}")
    table = f"{_SCRATCH}{new_id().replace('-', '')}"
    await clickhouse.command(f"CREATE TABLE {table} AS events")
    try:
        await clickhouse.insert(table, EventRow._fields, rows, token=table)
        yield table
    finally:
        await clickhouse.command(f"DROP TABLE IF EXISTS {table}")


async def _complete_events(clickhouse: ClickHouse, lacking: Sequence[EventRow], scratch: str) -> None:
    """Attached, not inserted, so that the views do not hear of it. What is stored in one step is a month."""
    for month in sorted({f"{row.ts.astimezone(UTC):%Y%m}" for row in lacking}):
        log.warning("events of a broken off insert were lost, putting them back", month=month)
        await clickhouse.command(f"ALTER TABLE events ATTACH PARTITION {month} FROM {scratch}")


async def _complete_view(clickhouse: ClickHouse, view: View, scratch: str, *, batch: str, before: int) -> None:
    select = view.of(scratch)
    [(wanted,)] = await clickhouse.query(f"SELECT count() FROM ({select})")
    if not wanted:
        return
    for attempt in count(1):
        if (await newest_blocks(clickhouse)).get(view.table, 0) > before:
            return
        log.warning("a view lost a broken off insert, putting it back", view=view.table, attempt=attempt)
        # A token for each attempt: one may be noted already, and its rows lost as well.
        await clickhouse.command(
            f"INSERT INTO {view.table} SETTINGS max_threads = 1, max_insert_threads = 1,"
            f" insert_deduplication_token = '{batch}:again:{attempt}' {select}"
        )
