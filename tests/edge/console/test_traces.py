"""`/console/traces`, fed by OpenTelemetry's own exporter."""

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from svckit import telemetry
from svckit.telemetry import Kind
from tests.svckit.spans import recorded

Start = Callable[..., AbstractAsyncContextManager[str]]

RECEIVER = "/console/otlp/v1/traces"
SECRET_SCRIPT = "<script>alert(1)</script>"


async def exported(url: str, made: InMemorySpanExporter) -> None:
    exporter: SpanExporter = OTLPSpanExporter(f"{url}{RECEIVER}")
    try:
        assert await asyncio.to_thread(exporter.export, made.get_finished_spans()) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()


async def test_a_trace_is_listed_found_and_shown_with_the_batch_that_went_on_from_it(
    edge_url: str, http: aiohttp.ClientSession
) -> None:
    with recorded() as spans:
        with telemetry.span("POST /api/chat", kind=Kind.SERVER, attributes={"chatmesh.request_id": "r-77"}) as root:
            with telemetry.span(f"chat {SECRET_SCRIPT}") as inner:
                inner.fail("rate_limited")
            for _ in range(40):
                with telemetry.span("EVALSHA"):
                    pass
        with telemetry.span("process analytics", links=[root.place]):
            pass
    await exported(edge_url, spans.exporter)

    found = await shown(http, q="r-77")
    (trace_id,) = re.findall(r"trace=([0-9a-f]{32})", found)
    assert trace_id == root.place.trace_id
    assert "process analytics" not in await shown(http)
    assert "process analytics" in await shown(http, all="1")
    assert await shown(http, q=trace_id[:9]) != await shown(http, q="no such thing")

    waterfall = await shown(http, trace=trace_id)
    assert [waterfall.count(name) for name in ("<details>", "40 times", "later, in a batch")] == [4, 1, 1]
    assert "rate_limited" in waterfall
    assert SECRET_SCRIPT not in waterfall
    assert "chat &lt;script&gt;" in waterfall


async def test_the_page_has_no_script_and_no_style_of_its_own_and_says_so(http: aiohttp.ClientSession) -> None:
    async with http.get("/console/traces") as response:
        policy, text = response.headers["Content-Security-Policy"], await response.text()

    assert "script" not in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script|<style|style=|\son\w+=", text)
    (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', text)
    async with http.get(style) as response:
        assert (response.status, response.content_type) == (200, "text/css")


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [("text/plain", b"", 415), ("application/json", b"{}", 415), ("application/x-protobuf", b"\xff\xff", 400)],
)
async def test_what_is_no_export_is_refused(
    http: aiohttp.ClientSession, content_type: str, body: bytes, status: int
) -> None:
    async with http.post(RECEIVER, data=body, headers={"Content-Type": content_type}) as response:
        assert response.status == status
    async with http.get("/console/traces", params={"trace": "0" * 32}) as response:
        assert response.status == 404


async def shown(http: aiohttp.ClientSession, **query: str) -> str:
    async with http.get("/console/traces", params=query) as response:
        assert response.status == 200
        return await response.text()


async def test_in_production_there_is_no_such_page(start_edge: Start) -> None:
    production = {
        "chatmesh_env": "production",
        "service_secret": "a secret of the tests, long enough",
        "public_url": "http://127.0.0.1:4999",
    }
    async with start_edge(**production) as url, aiohttp.ClientSession(url) as stranger:
        for method, path in (("GET", "/console/traces"), ("POST", RECEIVER)):
            async with stranger.request(method, path) as response:
                assert response.status == 404
