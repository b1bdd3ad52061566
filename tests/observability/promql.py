"""The rules and dashboards as data, and the metrics that their queries ask for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "observability" / "prometheus" / "rules.yaml"
DASHBOARDS = ROOT / "observability" / "grafana"


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def recorded() -> set[str]:
    """The names that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def queries() -> Iterator[str]:
    """Each query of a rule or a panel, in plain PromQL."""
    for rule in rules():
        yield rule["expr"]
    for path in DASHBOARDS.glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield target["expr"].replace("$__rate_interval", "5m")


def metrics_in(query: str) -> set[str]:
    """The names of the series that a query reads; raises ValueError for what is no PromQL."""
    return set(_names(promql_parser.parse(query)))


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, promql_parser.VectorSelector):
        yield str(node.name)
    for part in ("lhs", "rhs", "expr", "vector_selector", "param"):
        if (child := getattr(node, part, None)) is not None:
            yield from _names(child)
    for argument in getattr(node, "args", ()):
        yield from _names(argument)
