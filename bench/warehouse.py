"""Raw events by the million, and how long the figures take without any view.

`python -m bench.warehouse FOLDER EVENTS` makes the table of events there as analytics_svc does, fills it, asks it, and
prints the times as JSON. A process of its own, because the embedded engine serves one.
"""

import json
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client

_HERE = Path(__file__)
_START = _HERE.parent.parent / "analytics_svc" / "migrations" / "0001_start.sql"
_EVENTS = _HERE.with_name("warehouse_events.sql")
_QUERIES = _HERE.with_name("warehouse_queries.sql")
_AT_ONCE = 1_000_000
_TURNS = 3
# As analytics_svc has the engine.
_OPTIONS = {"max_server_memory_usage": 2 << 30, "max_thread_pool_size": 100}


def queries() -> Mapping[str, str]:
    """The SQL of each report on raw events, by its RPC, over the year that the events are of."""
    found = re.findall(r"^-- (\w+)\n(.*?);$", _QUERIES.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


def main(folder: str, events: int) -> None:
    client = clickhouse_connect.get_client(interface="chdb", path=folder, chdb_options=_OPTIONS)
    _fill(client, events)
    json.dump({rpc: _milliseconds(client, sql) for rpc, sql in queries().items()}, sys.stdout)
    client.close()


def _fill(client: Client, events: int) -> None:
    table, _, _ = _START.read_text(encoding="utf-8").partition(";\n")
    client.command(table)
    insert = _EVENTS.read_text(encoding="utf-8")
    for first in range(0, events, _AT_ONCE):
        client.command(insert, parameters={"first": first, "count": min(_AT_ONCE, events - first), "events": events})


def _milliseconds(client: Client, sql: str) -> float:
    """The best of a few turns."""
    return min(_once(client, sql) for _ in range(_TURNS))


def _once(client: Client, sql: str) -> float:
    started = time.perf_counter()
    client.query(sql)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
