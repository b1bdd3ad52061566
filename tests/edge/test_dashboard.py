"""The dashboard's page and files; what it does in a browser is in tests/journey."""

import json
import re
from importlib import resources

import aiohttp


async def test_the_dashboard_asks_only_for_files_of_its_own(http: aiohttp.ClientSession) -> None:
    async with http.get("/console/analytics") as response:
        page, policy = await response.text(), response.headers["Content-Security-Policy"]
    files = re.findall(r'(?:src|href)="(/console/[^"]+)"', page)

    assert "unsafe" not in policy
    assert {file.rpartition("/")[2] for file in files} == {"dashboard.css", "dashboard.js", "chart.umd.min.js"}
    for file in files:
        async with http.get(file) as response:
            assert response.status == 200
            assert "immutable" in response.headers["Cache-Control"]


async def test_nothing_in_the_page_needs_what_its_policy_forbids(http: aiohttp.ClientSession) -> None:
    async with http.get("/console/analytics") as response:
        page = await response.text()

    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"https?://", page)


def test_chart_js_comes_with_its_licence_and_origin() -> None:
    folder = resources.files("edge") / "console" / "analytics" / "chart.js"
    source = json.loads((folder / "source.json").read_text())

    assert source["package"] == "chart.js"
    assert source["integrity"].startswith("sha512-")
    assert source["version"] in (folder / "chart.umd.min.js").read_text()[:200]
    assert "MIT" in (folder / "LICENSE.md").read_text()
