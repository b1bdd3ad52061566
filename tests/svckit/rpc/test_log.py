import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import grpc
import prometheus_client
import pytest
import structlog

from svckit import clients, logs, telemetry
from svckit.errors import NotFound
from tests.svckit.probe import CREDENTIAL, DESCRIPTOR, ProbeServicer, Reply, Request, bearer, claims, serving, stub
from tests.waiting import until

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Lines:
    """What was logged, one object a line."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def of(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def rpc(self) -> dict[str, Any]:
        """The one line of the one call; services of other tests, which go on beside it, write theirs as well."""
        (line,) = [line for line in self.of("rpc") if line["method"].startswith(DESCRIPTOR.full_name)]
        return line


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    made = Lines()
    logs.configure("probe", stream=made.stream)
    yield made
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


class Ending(ProbeServicer):
    """Ends as it is asked to."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def Unary(self, request: Any, context: Any) -> Any:
        match request.text:
            case "not found":
                raise NotFound("no such thing")
            case "crash":
                raise ValueError("surprise")
            case "hang":
                self.begun.set()
                await asyncio.Event().wait()
            case "abort":
                await context.abort(grpc.StatusCode.DATA_LOSS, "torn page")
        return Reply(text=f"{telemetry.request_id.get()} {telemetry.current()}")

    async def Stream(self, request: Any, context: Any) -> Any:
        yield await self.Unary(request, context)


async def ask(text: str, *, method: str = "Unary", **options: Any) -> Any:
    """One call on a server of its own, over before this returns."""
    async with (
        serving(servicer := Ending()) as started,
        clients.channel(started.address, services=[DESCRIPTOR], credential=CREDENTIAL) as channel,
    ):
        call = getattr(stub(channel), method)(Request(text=text), **options)
        if text == "hang" and "timeout" not in options:
            await servicer.begun.wait()
            call.cancel()
        try:
            return await (call.read() if method == "Stream" else call)
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            return None


async def test_a_call_leaves_one_line_that_says_what_who_and_how_long(lines: Lines) -> None:
    said = claims()
    await ask("secret words", metadata=(*bearer(said), ("x-request-id", "r-1"), ("traceparent", TRACEPARENT)))

    line = lines.rpc()
    assert line["method"] == "kitprobe.v1.ProbeService/Unary"
    assert (line["code"], line["level"], line["service"]) == ("OK", "info", "probe")
    assert (line["user_id"], line["caller"]) == (said.user_id, "caller")
    assert (line["request_id"], line["trace_id"]) == ("r-1", TRACE_ID)
    assert line["ms"] >= 0
    assert "secret words" not in lines.stream.getvalue()


@pytest.mark.parametrize("method", ["Unary", "Stream"])
@pytest.mark.parametrize(
    ("text", "options", "code", "level"),
    [
        ("not found", {}, "NOT_FOUND", "info"),
        ("crash", {}, "INTERNAL", "error"),
        ("abort", {}, "DATA_LOSS", "error"),
        ("hang", {}, "CANCELLED", "info"),
        ("hang", {"timeout": 0.1}, "DEADLINE_EXCEEDED", "warning"),
        ("x" * 201, {}, "INVALID_ARGUMENT", "info"),
    ],
)
async def test_the_line_tells_how_the_call_ended(
    lines: Lines, method: str, text: str, options: Any, code: str, level: str
) -> None:
    await ask(text, method=method, **options)

    assert (lines.rpc()["code"], lines.rpc()["level"]) == (code, level)


async def test_a_crash_is_logged_with_its_traceback_and_the_calls_ids(lines: Lines) -> None:
    await ask("crash", metadata=(("x-request-id", "r-2"),))

    (crash,) = lines.of("an RPC crashed")
    assert "ValueError: surprise" in crash["exception"]
    assert (crash["request_id"], crash["trace_id"]) == ("r-2", lines.rpc()["trace_id"])


async def test_a_write_that_finds_its_client_gone_is_no_crash(lines: Lines) -> None:
    class Late(Ending):
        """Writes once more although it is cancelled, as one does whose write is under way when its client leaves."""

        async def Stream(self, request: Any, context: Any) -> Any:
            try:
                self.begun.set()
                await asyncio.Event().wait()
            finally:
                yield Reply()

    async with (
        serving(servicer := Late()) as started,
        clients.channel(started.address, services=[DESCRIPTOR]) as channel,
    ):
        call = stub(channel).Stream(Request())
        await servicer.begun.wait()
        call.cancel()

    assert not lines.of("an RPC crashed")
    assert (lines.rpc()["code"], lines.rpc()["level"]) == ("CANCELLED", "info")


async def test_every_call_is_measured_by_method_and_status(lines: Lines) -> None:
    def count() -> float:
        labels = {"rpc_method": "kitprobe.v1.ProbeService/Unary", "rpc_response_status_code": "NOT_FOUND"}
        return prometheus_client.REGISTRY.get_sample_value("rpc_server_call_duration_seconds_count", labels) or 0

    before = count()
    await ask("not found")

    assert count() == before + 1


async def test_streams_in_progress_are_counted_while_they_last_and_errors_by_their_reason() -> None:
    many = 40  # services of other tests in this process have a few streams, too

    def value(name: str, **labels: str) -> float:
        return prometheus_client.REGISTRY.get_sample_value(name, labels) or 0

    async def streaming(count: int) -> bool:
        return value("rpc_server_active_calls", rpc_method="kitprobe.v1.ProbeService/Stream") == count

    refused = value("rpc_server_errors_total", reason="NOT_FOUND")
    async with (
        serving(Ending()) as started,
        clients.channel(started.address, services=[DESCRIPTOR]) as channel,
    ):
        calls = [stub(channel).Stream(Request(text="hang")) for _ in range(many)]
        await until(lambda: streaming(many))
        during = value("rpc_server_active_streams")
        for call in calls:
            call.cancel()
        await until(lambda: streaming(0))
        after = value("rpc_server_active_streams")
        with pytest.raises(grpc.aio.AioRpcError):
            await stub(channel).Unary(Request(text="not found"))

    assert during >= many
    assert after <= during - many / 2
    assert value("rpc_server_active_calls", rpc_method="kitprobe.v1.ProbeService/Unary") == 0
    assert value("rpc_server_errors_total", reason="NOT_FOUND") == refused + 1


async def test_a_malformed_request_id_is_replaced(lines: Lines) -> None:
    await ask("", metadata=(("x-request-id", "evil id; drop"),))

    assert len(lines.rpc()["request_id"]) == 32


async def test_a_call_without_a_trace_begins_one(lines: Lines) -> None:
    reply = await ask("")

    trace = telemetry.parse(reply.text.split()[1])
    assert trace is not None
    assert lines.rpc()["trace_id"] == trace.trace_id


async def test_the_trace_and_the_request_id_go_on_to_the_next_service_under_a_new_span(lines: Lines) -> None:
    class Relaying(ProbeServicer):
        def __init__(self, next_: Any) -> None:
            self._next = next_

        async def Unary(self, request: Any, context: Any) -> Any:
            reply = await self._next.Unary(request)
            return Reply(text=f"{reply.text} {telemetry.current()}")

    async with (
        serving(Ending()) as inner,
        clients.channel(inner.address, services=[DESCRIPTOR]) as onwards,
        serving(Relaying(stub(onwards))) as outer,
        clients.bare_channel(outer.address, services=[DESCRIPTOR]) as channel,
    ):
        metadata = (("x-request-id", "r-3"), ("traceparent", TRACEPARENT))
        reply = await stub(channel).Unary(Request(), metadata=metadata)

    request_id, inner_trace, outer_trace = reply.text.split()
    spans = {TRACEPARENT.split("-")[2], inner_trace.split("-")[2], outer_trace.split("-")[2]}
    assert request_id == "r-3"
    assert {inner_trace.split("-")[1], outer_trace.split("-")[1]} == {TRACE_ID}
    assert len(spans) == 3
