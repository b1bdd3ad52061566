"""What a running mesh measures is what docs/metrics.md, the rules and the dashboards say."""

import re
import uuid
from collections.abc import Iterator

import aiohttp
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.journey.running import SERVICES, Mesh
from tests.observability.promql import ROOT, metrics_in, queries, recorded

_ADMIN_OFFSET = 6000
_LIBRARY = ("python_", "process_")
_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.+) \| [\w, ]+ \|$", re.MULTILINE)


@pytest.fixture
async def measured(mesh: Mesh) -> dict[str, list[Metric]]:
    """The metrics of every process, by name; one has no series in a process that had nothing to measure yet."""
    found: dict[str, list[Metric]] = {}
    for metric in await _scraped(mesh):
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        if not name.endswith("_created"):
            found.setdefault(name, []).append(metric)
    return found


async def test_the_table_of_metrics_is_what_a_mesh_measures(measured: dict[str, list[Metric]]) -> None:
    documented = {name: (kind, labels, words) for name, kind, labels, words in _ROW.findall(_table())}

    assert {name for name in measured if not name.startswith(_LIBRARY)} <= set(documented)
    assert [name for name in documented if name not in measured and not _is_made_later(name)] == []
    for name, (kind, labels, words) in documented.items():
        for metric in measured.get(name, ()):
            assert (metric.type, metric.documentation) == (kind, words), name
            assert _labels(metric) <= set(re.findall(r"`(\w+)`", labels)), name


async def test_rules_and_dashboards_ask_for_nothing_that_is_not_measured(measured: dict[str, list[Metric]]) -> None:
    asked_for = {name for query in queries() for name in metrics_in(query)} - recorded() - {"up"}

    missing = {re.sub("_(bucket|count|sum)$", "", name) for name in asked_for} - set(measured)
    assert [name for name in missing if not _is_made_later(name)] == []


async def test_what_clients_make_up_makes_no_series(mesh: Mesh) -> None:
    made_up = uuid.uuid4().hex
    async with aiohttp.ClientSession(mesh.url) as http:
        for method, path in (
            ("GET", f"/{made_up}"),
            (made_up.upper(), "/api/conversations"),
            ("GET", f"/api/conversations/{made_up}"),
            ("GET", f"/api/auth/me?x={made_up}"),
        ):
            async with http.request(method, path, headers={"X-Request-Id": made_up}) as response:
                assert response.status in (400, 401, 404, 405)
        async with http.post("/api/chat", json={"message": "hi", "model": made_up, "provider": made_up}) as response:
            assert response.status == 401

    values = [value for metric in await _scraped(mesh) for sample in metric.samples for value in sample.labels.values()]
    assert not [value for value in values if made_up in value.lower()]


async def _scraped(mesh: Mesh) -> list[Metric]:
    return [metric for url in _urls(mesh) for metric in text_string_to_metric_families(await _page(url))]


async def _page(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        return await response.text()


def _urls(mesh: Mesh) -> Iterator[str]:
    yield mesh.url
    for address in mesh.addresses.values():
        host, _, port = address.rpartition(":")
        yield f"http://{host}:{int(port) + _ADMIN_OFFSET}"


def _table() -> str:
    return (ROOT / "docs" / "metrics.md").read_text()


def _is_made_later(name: str) -> bool:
    """Whether the code has a metric that is only there once there is something to measure."""
    folders = ["svckit", *(f"{service}_svc" for service in SERVICES)]
    files = [file for folder in folders for file in (ROOT / folder).glob("**/*.py")]
    return any(f'"{name.removesuffix("_total")}' in file.read_text() for file in files)


def _labels(metric: Metric) -> set[str]:
    return {label for sample in metric.samples for label in sample.labels} - {"le"}
