"""The tables and views, made and changed by numbered SQL scripts; a table says which of them were applied.

The scripts are written for one server. Given a cluster's name, each statement runs on all of its replicas and tables
are replicated: one shard, which has all the data, and any number of replicas.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog

from analytics_svc.clickhouse import ClickHouse

SCRIPTS = Path(__file__).parent / "migrations"
_APPLIED = """
CREATE TABLE IF NOT EXISTS migrations (version UInt32, name String, applied_at DateTime('UTC') DEFAULT now('UTC'))
ENGINE = MergeTree ORDER BY version
"""
_NAMED = re.compile(
    r"^((?:CREATE TABLE|CREATE MATERIALIZED VIEW) IF NOT EXISTS|DROP (?:TABLE|VIEW) IF EXISTS|(?:TRUNCATE|ALTER) TABLE)"
    r" (\w+)",
    re.MULTILINE,
)
_ENGINE = re.compile(r"\bENGINE = (\w*MergeTree)\b")
_POLL_SECONDS = 1.0
_VIEW = re.compile(r"^CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO (\w+) AS\n(.*)", re.MULTILINE | re.DOTALL)
_WINDOW = "non_replicated_deduplication_window = 10000"
# By default a server forgets the batches of more than an hour ago.
_REPLICATED_WINDOW = "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"

# By the tables whose old rows can go without making a sum wrong: what tells a row's age.
_AGE = {"events": "ts", "user_usage_15m": "b"}
_ENGINE_OF = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"
_TTL = re.compile(r"\bTTL \w+ \+ toIntervalDay\((\d+)\)")

log = structlog.get_logger(__name__)


async def migrate(clickhouse: ClickHouse, *, cluster: str = "") -> None:
    """Apply the scripts that were not, in order. One that broke off half-way is run again from its beginning.

    A view that is made is filled with the events that there are, so nothing may be counted meanwhile.
    """
    await clickhouse.command(on_cluster(cluster, _APPLIED))
    for script in sorted(SCRIPTS.glob("*.sql")):
        version = _version(script)
        # Asked each time: another instance that starts at the same moment may have come further.
        if version not in await _applied(clickhouse):
            for statement in statements(script.read_text(encoding="utf-8"), cluster=cluster):
                await clickhouse.command(statement)
            row = [version, script.stem]
            await clickhouse.insert("migrations", ["version", "name"], [row], token=f"migration:{version}")
            log.info("schema migrated", version=version, script=script.stem)


async def await_migrated(clickhouse: ClickHouse) -> None:
    """Wait until another process has applied all scripts that there are."""
    wanted = {_version(script) for script in SCRIPTS.glob("*.sql")}
    while not wanted <= await _applied(clickhouse):
        log.info("waiting for the schema to be migrated", by="chatmesh migrate")
        await asyncio.sleep(_POLL_SECONDS)


async def _applied(clickhouse: ClickHouse) -> set[int]:
    [(exists,)] = await clickhouse.query("EXISTS TABLE migrations")
    rows = await clickhouse.query("SELECT version FROM migrations") if exists else []
    return {int(str(version)) for (version,) in rows}


def _version(script: Path) -> int:
    return int(script.name.partition("_")[0])


async def keep(clickhouse: ClickHouse, days: Mapping[str, int], *, cluster: str = "") -> None:
    """Have ClickHouse delete rows of these tables when they are so many days old; 0 keeps them for ever."""
    for table, limit in days.items():
        kept = await kept_days(clickhouse, table)
        if limit and limit != kept:
            ttl = f"TTL {_AGE[table]} + toIntervalDay({limit})"
            await clickhouse.command(on_cluster(cluster, f"ALTER TABLE {table} MODIFY {ttl}"))
        elif kept and not limit:
            await clickhouse.command(on_cluster(cluster, f"ALTER TABLE {table} REMOVE TTL"))


async def kept_days(clickhouse: ClickHouse, table: str) -> int:
    """After how many days rows of the table are deleted; 0: never."""
    [(engine,)] = await clickhouse.query(_ENGINE_OF, {"table": table})
    ttl = _TTL.search(str(engine))
    return int(ttl[1]) if ttl else 0


def statements(script: str, *, cluster: str = "") -> list[str]:
    """What a script comes to: its statements, each view filled before it is made."""
    written = [statement.strip() for statement in f"{script}\n".split(";\n") if statement.strip()]
    return [on_cluster(cluster, each) for statement in written for each in _filled(statement)]


def _filled(statement: str) -> Iterator[str]:
    """Filling begins with an empty table, so that it may be done again."""
    if view := _VIEW.search(statement):
        name, table, select = view.groups()
        yield f"DROP VIEW IF EXISTS {name}"
        yield f"TRUNCATE TABLE {table}"
        # Of events that came twice before they were merged, one.
        yield f"INSERT INTO {table}\n{select.replace('FROM events', 'FROM events FINAL')}"
    yield statement


def on_cluster(cluster: str, statement: str) -> str:
    """The statement for every replica of the cluster, or as it is where there is none."""
    if not cluster:
        return statement
    statement = _NAMED.sub(rf"\1 \2 ON CLUSTER {cluster}", statement, count=1)
    statement = _ENGINE.sub(r"ENGINE = Replicated\1", statement)
    return statement.replace(_WINDOW, _REPLICATED_WINDOW)
