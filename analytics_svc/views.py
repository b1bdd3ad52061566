"""The views as the database has them: whatever the migrations made, what is done to all views is done to it too."""
# ruff: noqa: S608 - queries are put together from what the database itself says of its views

import re
from collections.abc import Sequence
from dataclasses import dataclass

from analytics_svc.clickhouse import ClickHouse

_VIEWS = """
SELECT name, create_table_query, as_select FROM system.tables
WHERE database = currentDatabase() AND engine = 'MaterializedView' ORDER BY name
"""
_COLUMNS = """
SELECT table, name, type, is_in_sorting_key FROM system.columns WHERE database = currentDatabase() ORDER BY position
"""
_TARGET = re.compile(r"^CREATE MATERIALIZED VIEW \S+ TO (?:\w+\.)?(\w+)")
_EVENTS = re.compile(r"\bFROM (?:\w+\.)?events\b")
_SUM = "SimpleAggregateFunction(sum"
# Between the name of a table or view and the number of the rebuild that it was made for.
SHADOW = "__rebuild_"


@dataclass(frozen=True, slots=True)
class View:
    """A materialised view of `events`: its name, the table that it fills, the query that it fills it by.

    `keys` is what a row of the table is about, `sums` the columns that only grow; `timed` when one of the keys is `b`,
    the quarter hour, so that every event is in rows of its own month.
    """

    name: str
    table: str
    select: str
    keys: Sequence[str]
    sums: Sequence[str]

    @property
    def timed(self) -> bool:
        return "b" in self.keys

    def over(self, which: str) -> str:
        """The view's query over those events that are so, each of them once."""
        return _EVENTS.sub(f"FROM (SELECT * FROM events FINAL WHERE {which}) AS events", self.select)

    def of(self, table: str) -> str:
        """The view's query over another table of events."""
        return _EVENTS.sub(f"FROM {table} AS events", self.select)


async def views(clickhouse: ClickHouse) -> list[View]:
    """All views but the shadows of a rebuild."""
    keys: dict[str, list[str]] = {}
    sums: dict[str, list[str]] = {}
    for table, column, type_, is_key in await clickhouse.query(_COLUMNS):
        if is_key:
            keys.setdefault(str(table), []).append(str(column))
        elif str(type_).startswith(_SUM):
            sums.setdefault(str(table), []).append(str(column))
    found = []
    for name, created, select in await clickhouse.query(_VIEWS):
        target = _TARGET.match(str(created))
        assert target is not None
        if SHADOW not in str(name):
            table = target[1]
            found.append(View(str(name), table, str(select), keys.get(table, []), sums.get(table, [])))
    return found


async def months(clickhouse: ClickHouse) -> list[int]:
    """The months of which there are events, as 202601."""
    rows = await clickhouse.query("SELECT DISTINCT toYYYYMM(ts) AS month FROM events ORDER BY month")
    return [int(str(month)) for (month,) in rows]
