"""Rules, runbooks and dashboards agree; Prometheus' own tool reads them where it is installed."""

import asyncio
import shutil

import pytest

from tests.observability.promql import ROOT, RULES, metrics_in, queries, recorded, rules
from tools import dashboards

RUNBOOKS = ROOT / "docs" / "runbooks"


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}

    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == alerts


def test_every_alert_says_whom_it_calls_and_why() -> None:
    for rule in (rule for rule in rules() if "alert" in rule):
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


def test_every_query_is_promql_and_reads_something() -> None:
    for query in queries():
        assert metrics_in(query) or query.startswith("vector("), query


def test_no_recorded_series_is_missing_or_unused() -> None:
    asked_for = {name for query in queries() for name in metrics_in(query) if name.startswith("chatmesh:")}

    assert asked_for == recorded()


def test_the_dashboards_are_as_they_would_be_written_now() -> None:
    assert {path: path.read_text() for path in dashboards.FOLDER.glob("*.json")} == dashboards.rendered()


async def test_promtool_accepts_the_rules_and_their_own_tests() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: the package prometheus)")
    for command, file in (("check", RULES), ("test", RULES.with_name("rules_test.yaml"))):
        ran = await asyncio.create_subprocess_exec(
            promtool, command, "rules", str(file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await ran.communicate()
        assert ran.returncode == 0, said.decode()
