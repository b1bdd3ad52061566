"""Processes that send their spans, as the standard variables say."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.svckit.test_process import program

WORKS = """
import structlog
from svckit import telemetry

with telemetry.span("work"):
    structlog.get_logger().info("worked")
"""


class Collector:
    """Takes what is exported, as any collector does."""

    def __init__(self) -> None:
        self.url = ""
        self.exports: list[ExportTraceServiceRequest] = []

    async def take(self, request: web.Request) -> web.Response:
        self.exports.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def test_spans_are_sent_before_the_process_ends_under_the_ids_of_its_log(
    collector: Collector, tmp_path: Path
) -> None:
    async with program(tmp_path, WORKS, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as started:
        await started.until("worked")
        code, _ = await started.ended()

    assert code == 0
    (export,) = collector.exports
    (resource,) = export.resource_spans
    about = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    (span,) = resource.scope_spans[0].spans
    (line,) = started.lines
    assert (about["service.name"], span.name) == ("shop", "work")
    assert (span.trace_id.hex(), span.span_id.hex()) == (line["trace_id"], line["span_id"])


@pytest.mark.parametrize("off", [{"OTEL_TRACES_SAMPLER": "always_off"}, {"OTEL_SDK_DISABLED": "true"}])
async def test_nothing_is_sent_where_the_standard_variables_say_so(
    collector: Collector, tmp_path: Path, off: dict[str, str]
) -> None:
    async with program(tmp_path, WORKS, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **off) as started:
        await started.until("worked")
        await started.ended()

    assert collector.exports == []
    assert started.lines[0]["trace_id"]


async def test_a_collector_that_is_away_does_no_harm(tmp_path: Path) -> None:
    async with program(tmp_path, WORKS, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1") as started:
        await started.until("worked")
        code, errors = await started.ended()

    assert (code, errors) == (0, "")
