"""Makes all views anew from the raw events, in steps, while events are counted between the steps.

Beside each table stands a shadow, which new events go to as well, while older ones are filled in month by month; at the
end the two change places. Readers see the old tables until then. A rebuild that broke off leaves shadows behind, which
the next one removes.
"""

from collections.abc import AsyncIterator, Collection

from analytics_svc.clickhouse import ClickHouse
from analytics_svc.position import Position
from analytics_svc.schema import on_cluster
from analytics_svc.views import SHADOW, View, months, views
from svckit.errors import FailedPrecondition

_SHADOWS = """
SELECT name, engine = 'MaterializedView' AS is_view FROM system.tables
WHERE database = currentDatabase() AND position(name, {mark:String}) > 0 ORDER BY is_view DESC
"""
_EXPIRES = """
SELECT position(engine_full, ' TTL ') > 0 FROM system.tables WHERE database = currentDatabase() AND name = 'events'
"""


async def rebuild(
    clickhouse: ClickHouse, *, number: int, at: Position, cluster: str, only: Collection[str] | None = None
) -> AsyncIterator[str]:
    """Give after each step what was done. All up to `at` is counted; `only` names the views, if they are not all.

    No event may be inserted while a step runs. Raises FailedPrecondition when all views are to be made anew and the raw
    events are deleted after a while.
    """
    [(expires,)] = await clickhouse.query(_EXPIRES)
    if expires and only is None:
        raise FailedPrecondition("raw events are deleted after a while: figures older than that would be lost")
    await remove_shadows(clickhouse, cluster=cluster)
    found = [view for view in await views(clickhouse) if only is None or view.name in only]
    # What comes from now on goes to the shadows by itself. Numbers are of this stream only, not of one before it.
    counted = f"NOT (startsWith(batch, '{at.batches}') AND seq > {at.done})"
    for view in found:
        for statement in _making(view, number):
            await clickhouse.command(on_cluster(cluster, statement))
    yield f"{len(found)} shadows stand"
    for month in await months(clickhouse):
        for view in found:
            await _fill(clickhouse, view, number=number, which=f"toYYYYMM(ts) = {month} AND {counted}")
            yield f"{view.table} has the events of {month}"
    everywhere = f" ON CLUSTER {cluster}" if cluster else ""
    for view in found:
        await clickhouse.command(f"EXCHANGE TABLES {view.table} AND {_shadow(view.table, number)}{everywhere}")
    await remove_shadows(clickhouse, cluster=cluster)
    yield f"{len(found)} views are made anew"


async def remove_shadows(clickhouse: ClickHouse, *, cluster: str) -> None:
    """The views first: without them, nothing fills the tables."""
    for name, is_view in await clickhouse.query(_SHADOWS, {"mark": SHADOW}):
        statement = f"DROP {'VIEW' if is_view else 'TABLE'} IF EXISTS {name}"
        await clickhouse.command(on_cluster(cluster, statement))


def _making(view: View, number: int) -> tuple[str, str]:
    table = _shadow(view.table, number)
    return (
        f"CREATE TABLE IF NOT EXISTS {table} AS {view.table}",
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {_shadow(view.name, number)} TO {table} AS {view.select}",
    )


async def _fill(clickhouse: ClickHouse, view: View, *, number: int, which: str) -> None:
    # Two months may well come to the same rows: that is no repetition.
    await clickhouse.command(
        f"INSERT INTO {_shadow(view.table, number)} SETTINGS insert_deduplicate = 0 {view.over(which)}"
    )


def _shadow(name: str, number: int) -> str:
    return f"{name}{SHADOW}{number}"
