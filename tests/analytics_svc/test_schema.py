"""What the scripts come to, on one server and on a cluster. That they work is what every other test here shows."""

import re
from pathlib import Path
from typing import cast

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from nats.js.kv import KeyValue
from pydantic import ValidationError

from analytics_svc import schema
from analytics_svc.clickhouse import ClickHouse
from analytics_svc.position import Position, Record
from analytics_svc.rebuilding import rebuild
from analytics_svc.settings import AnalyticsSettings
from tests.analytics_svc.test_crashes import asked, stand_in

SCRIPT = """
-- A table.
CREATE TABLE IF NOT EXISTS things (b DateTime) ENGINE = AggregatingMergeTree
ORDER BY b
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS things_view TO things AS
SELECT b FROM events
WHERE type = 'x';

DROP TABLE IF EXISTS others;
"""
TABLE_OR_VIEW = re.compile(r"\b(?:CREATE|DROP|TRUNCATE|ALTER) ")


def test_a_view_is_made_and_then_noted_where_there_are_events_that_it_lacks() -> None:
    table, *view, other = schema.statements(SCRIPT, version=7)

    assert table.startswith("-- A table.\nCREATE TABLE")
    assert [statement.partition("\n")[0] for statement in view] == [
        "DROP VIEW IF EXISTS things_view",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS things_view TO things AS",
        "INSERT INTO unfilled SETTINGS insert_deduplicate = 0 SELECT 'things_view', 7 FROM events LIMIT 1",
    ]
    assert other == "DROP TABLE IF EXISTS others"


def test_on_a_cluster_every_replica_has_every_table() -> None:
    table, drop, view, note, other = schema.statements(SCRIPT, version=7, cluster="main")

    assert "CREATE TABLE IF NOT EXISTS things ON CLUSTER main (" in table
    replica = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"
    assert f"ENGINE = ReplicatedAggregatingMergeTree({replica})\n" in table
    kept = schema.on_cluster("main", "CREATE TABLE IF NOT EXISTS x (v Int8) ENGINE = ReplacingMergeTree(v)\nORDER BY v")
    assert f"ENGINE = ReplicatedReplacingMergeTree({replica}, v)\n" in kept
    assert "SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds =" in table
    assert drop == "DROP VIEW IF EXISTS things_view ON CLUSTER main"
    assert "things_view ON CLUSTER main TO things AS" in view
    # What one replica inserts, the others get.
    assert "ON CLUSTER" not in note
    assert other == "DROP TABLE IF EXISTS others ON CLUSTER main"


def test_no_statement_of_any_script_is_forgotten_on_a_cluster() -> None:
    written = [
        statement
        for script in sorted(schema.SCRIPTS.glob("*.sql"))
        for statement in schema.statements(script.read_text(), version=1, cluster="main")
        if not statement.startswith("INSERT")
    ]

    assert len(written) > 20
    ttl = "ALTER TABLE events MODIFY TTL ts + toIntervalDay(30)"
    assert schema.on_cluster("main", ttl) == ttl.replace("events", "events ON CLUSTER main")
    for statement in written:
        assert len(TABLE_OR_VIEW.findall(statement)) == statement.count("ON CLUSTER main") == 1, statement
        assert "non_replicated" not in statement
        assert statement.count("MergeTree") == statement.count(
            "MergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}'"
        )


async def test_a_rebuild_changes_names_of_replicated_tables_and_no_path_is_of_two(tmp_path: Path) -> None:
    # The embedded engine makes replicated tables, with a keeper in its memory; it cannot insert into them.
    async with stand_in(tmp_path / "clickhouse", "--replicated", log=tmp_path / "log") as url, asked(url) as warehouse:
        for script in sorted(schema.SCRIPTS.glob("*.sql")):
            for statement in schema.statements(script.read_text(), version=1, cluster="main"):
                if not statement.startswith("INSERT"):
                    await warehouse.command(statement)
        before = await paths(warehouse)
        at = Position(cast("KeyValue", None), Record("1", "test"), 0)
        said = [each async for each in rebuild(warehouse, number=5, at=at, cluster="main")]
        after = await paths(warehouse)
        with pytest.raises(DatabaseError, match="not ON CLUSTER"):
            await warehouse.command("DROP TABLE users_15m")

    assert said == ["10 shadows stand", "10 views are made anew"]
    assert before.keys() == after.keys() >= {"events", "users_15m", "mrr_changes"}
    assert len({*before.values(), *after.values()}) == len(before) + 10
    assert before["events"] == after["events"]


async def paths(warehouse: ClickHouse) -> dict[str, str]:
    """Where in the keeper each replicated table is."""
    rows = await warehouse.query("SELECT table, zookeeper_path FROM system.replicas")
    return {str(table): str(path) for table, path in rows}


@pytest.mark.parametrize("name", ["main; DROP", "'main'", "a-b"])
def test_a_cluster_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValidationError, match="letters, digits and underscores"):
        AnalyticsSettings(clickhouse_url="http://127.0.0.1:8123/default", clickhouse_cluster=name)


def test_the_embedded_engine_has_no_cluster() -> None:
    with pytest.raises(ValidationError, match="has no cluster"):
        AnalyticsSettings(clickhouse_url="chdb:///tmp/x", clickhouse_cluster="main")
