"""What the scripts come to, on one server and on a cluster. That they work is what every other test here shows."""

import re

import pytest
from pydantic import ValidationError

from analytics_svc import schema
from analytics_svc.settings import AnalyticsSettings

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


def test_a_view_is_filled_before_it_is_made_and_may_be_filled_again() -> None:
    table, *view, other = schema.statements(SCRIPT)

    assert table.startswith("-- A table.\nCREATE TABLE")
    assert [statement.partition("\n")[0] for statement in view] == [
        "DROP VIEW IF EXISTS things_view",
        "TRUNCATE TABLE things",
        "INSERT INTO things",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS things_view TO things AS",
    ]
    assert other == "DROP TABLE IF EXISTS others"


def test_on_a_cluster_every_replica_has_every_table() -> None:
    table, drop, truncate, fill, view, other = schema.statements(SCRIPT, cluster="main")

    assert "CREATE TABLE IF NOT EXISTS things ON CLUSTER main (" in table
    assert "ENGINE = ReplicatedAggregatingMergeTree\n" in table
    assert "SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds =" in table
    assert drop == "DROP VIEW IF EXISTS things_view ON CLUSTER main"
    assert truncate == "TRUNCATE TABLE things ON CLUSTER main"
    # What one replica inserts, the others get.
    assert "ON CLUSTER" not in fill
    assert "things_view ON CLUSTER main TO things AS" in view
    assert other == "DROP TABLE IF EXISTS others ON CLUSTER main"


def test_no_statement_of_any_script_is_forgotten_on_a_cluster() -> None:
    written = [
        statement
        for script in sorted(schema.SCRIPTS.glob("*.sql"))
        for statement in schema.statements(script.read_text(), cluster="main")
        if not statement.startswith("INSERT")
    ]

    assert len(written) > 20
    for statement in written:
        assert len(TABLE_OR_VIEW.findall(statement)) == statement.count("ON CLUSTER main") == 1, statement
        assert "non_replicated" not in statement


@pytest.mark.parametrize("name", ["main; DROP", "'main'", "a-b"])
def test_a_cluster_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValidationError, match="letters, digits and underscores"):
        AnalyticsSettings(clickhouse_url="http://127.0.0.1:8123/default", clickhouse_cluster=name)


def test_the_embedded_engine_has_no_cluster() -> None:
    with pytest.raises(ValidationError, match="has no cluster"):
        AnalyticsSettings(clickhouse_url="chdb:///tmp/x", clickhouse_cluster="main")
