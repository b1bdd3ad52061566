"""The tables and views, made and changed by numbered SQL scripts; a table says which of them were applied.

The scripts are written for one server. Given a cluster's name, each statement runs on all of its replicas and tables
are replicated: one shard, which has all the data, and any number of replicas.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import structlog

from analytics_svc.clickhouse import ClickHouse, Row

SCRIPTS = Path(__file__).parent / "migrations"
_APPLIED = """
CREATE TABLE IF NOT EXISTS migrations (version UInt32, name String, applied_at DateTime('UTC') DEFAULT now('UTC'))
ENGINE = MergeTree ORDER BY version
"""
# Views that a script has made while there were events, by the script: they lack the older ones.
_UNFILLED = """
CREATE TABLE IF NOT EXISTS unfilled (view String, version UInt32)
ENGINE = MergeTree ORDER BY (view, version)
"""
_NAMED = re.compile(
    r"^((?:CREATE TABLE|CREATE MATERIALIZED VIEW) IF NOT EXISTS|DROP (?:TABLE|VIEW) IF EXISTS|(?:TRUNCATE|ALTER) TABLE)"
    r" (\w+)",
    re.MULTILINE,
)
_ENGINE = re.compile(r"\bENGINE = (\w*MergeTree)\b(?:\((\w+)\))?")
# Not what the server has as its default: a path made of the table's name is taken by the table that a rebuild replaces,
# and forbids it to change names.
_REPLICA = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"
_POLL_SECONDS = 1.0
_NOTE = "INSERT INTO unfilled SETTINGS insert_deduplicate = 0 SELECT '{view}', {version} FROM events LIMIT 1"
_VIEW = re.compile(r"^CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO ", re.MULTILINE)
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

    No other process may do so at the same time. Events may be counted meanwhile: a view counts those that come after
    it was made, and the older ones when the instance that counts fills it (`unfilled`).
    """
    for made in (_APPLIED, _UNFILLED):
        await clickhouse.command(on_cluster(cluster, made))
    applied = await _applied(clickhouse)
    for version, script in _scripts().items():
        if version not in applied:
            for statement in statements(script.read_text(encoding="utf-8"), version=version, cluster=cluster):
                await clickhouse.command(statement)
            row = [version, script.stem]
            await clickhouse.insert("migrations", ["version", "name"], [row], token=f"migration:{version}")
            log.info("schema migrated", version=version, script=script.stem)


async def is_migrated(clickhouse: ClickHouse) -> bool:
    """Whether all scripts that there are were applied."""
    return _scripts().keys() <= await _applied(clickhouse)


async def await_migrated(clickhouse: ClickHouse) -> None:
    """Wait until another process has applied all scripts that there are."""
    while not await is_migrated(clickhouse):
        log.info("waiting for the schema to be migrated", by="chatmesh migrate")
        await asyncio.sleep(_POLL_SECONDS)


async def unfilled(clickhouse: ClickHouse) -> list[Row]:
    """The views that lack older events, each with the version that made it so."""
    return list(await clickhouse.query("SELECT DISTINCT view, version FROM unfilled"))


async def note_filled(clickhouse: ClickHouse, made: Iterable[Row]) -> None:
    """Note that these of `unfilled` are filled."""
    for view, version in made:
        parameters = {"view": view, "version": version}
        await clickhouse.command(
            "DELETE FROM unfilled WHERE view = {view:String} AND version = {version:UInt32}", parameters
        )


async def _applied(clickhouse: ClickHouse) -> set[int]:
    # The last of what is made before any script.
    [(exists,)] = await clickhouse.query("EXISTS TABLE unfilled")
    rows = await clickhouse.query("SELECT version FROM migrations") if exists else []
    return {int(str(version)) for (version,) in rows}


def _scripts() -> dict[int, Path]:
    """By their number, in order."""
    return {int(script.name.partition("_")[0]): script for script in sorted(SCRIPTS.glob("*.sql"))}


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


def statements(script: str, *, version: int, cluster: str = "") -> list[str]:
    """What a script comes to: its statements, and for each view a note that it is to be filled."""
    written = [statement.strip() for statement in f"{script}\n".split(";\n") if statement.strip()]
    return [on_cluster(cluster, each) for statement in written for each in _noted(statement, version)]


def _noted(statement: str, version: int) -> Iterator[str]:
    """The view is made first: an event that it misses is there when it is asked whether there are any."""
    view = _VIEW.search(statement)
    if view is None:
        yield statement
        return
    yield f"DROP VIEW IF EXISTS {view[1]}"
    yield statement
    yield _NOTE.format(view=view[1], version=version)


def on_cluster(cluster: str, statement: str) -> str:
    """The statement for every replica of the cluster, or as it is where there is none."""
    if not cluster:
        return statement
    statement = _NAMED.sub(rf"\1 \2 ON CLUSTER {cluster}", statement, count=1)
    statement = _ENGINE.sub(_replicated, statement)
    return statement.replace(_WINDOW, _REPLICATED_WINDOW)


def _replicated(engine: re.Match[str]) -> str:
    arguments = ", ".join(part for part in (_REPLICA, engine[2]) if part)
    return f"ENGINE = Replicated{engine[1]}({arguments})"
