"""One log line, one measurement and one span for each call, however it ends; never a message's contents."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import grpc
import structlog
from prometheus_client import Gauge, Histogram

from svckit import identity, telemetry
from svckit.rpc.call import Call, Rpc
from svckit.rpc.client_calls import RPC_SYSTEM
from svckit.telemetry import Kind, Span

log = structlog.get_logger(__name__)

_DURATION = Histogram(
    "rpc_server_call_duration_seconds",
    "Duration of RPCs served, until the last message was handed over.",
    ["rpc_method", "rpc_response_status_code"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)
_ACTIVE = Gauge(
    "rpc_server_active_calls", "RPCs being served now; a stream is one for as long as it lasts.", ["rpc_method"]
)
# Without labels, and there from the start: what replicas are scaled by.
_STREAMS = Gauge("rpc_server_active_streams", "Streaming RPCs being served now.")
_OUR_FAULT = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
_TROUBLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
# What makes the span of a server a failed one, by OpenTelemetry's conventions for gRPC; the rest is the client's.
_SERVER_ERRORS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}


@contextmanager
def recorded(call: Call) -> Iterator[None]:
    """Give the call its request id and span, and say how it ended."""
    started = time.perf_counter()
    telemetry.request_id.set(telemetry.accept_request_id(call.metadata.get(telemetry.REQUEST_ID_KEY, "")))
    parent = call.metadata.get(telemetry.TRACEPARENT_KEY, "")
    with telemetry.span(call.rpc.name, parent=parent, kind=Kind.SERVER) as span, _in_progress(call.rpc):
        try:
            yield
        except asyncio.CancelledError:
            call.code = _why_cancelled(call)
            raise
        finally:
            seconds = time.perf_counter() - started
            _duration(call.rpc.name, call.code.name).observe(seconds)
            _write(call, milliseconds=round(seconds * 1000, 2))
            _describe(span, call)


def _why_cancelled(call: Call) -> grpc.StatusCode:
    """A handler is cancelled alike when its client leaves and when the client's deadline passes."""
    remaining: float | None = call.context.time_remaining()
    expired = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED


@contextmanager
def _in_progress(rpc: Rpc) -> Iterator[None]:
    gauges = _gauges(rpc)
    for gauge in gauges:
        gauge.inc()
    try:
        yield
    finally:
        for gauge in gauges:
            gauge.dec()


@cache
def _gauges(rpc: Rpc) -> tuple[Gauge, ...]:
    active = _ACTIVE.labels(rpc.name)
    return (active, _STREAMS) if rpc.timeout is None else (active,)


@cache
def _duration(method: str, code: str) -> Histogram:
    return _DURATION.labels(method, code)


def _write(call: Call, *, milliseconds: float) -> None:
    write = log.error if call.code in _OUR_FAULT else log.warning if call.code in _TROUBLE else log.info
    caller = identity.current().service
    write("rpc", method=call.rpc.name, code=call.code.name, ms=milliseconds, **({"caller": caller} if caller else {}))


def _describe(span: Span, call: Call) -> None:
    """Say in the span what the line says."""
    if span.recording is None:
        return
    span.note(
        {
            "rpc.system.name": RPC_SYSTEM,
            "rpc.method": call.rpc.name,
            "rpc.response.status_code": call.code.name,
            "chatmesh.request_id": telemetry.request_id.get(),
            "chatmesh.caller": identity.current().service,
            "user.id": identity.current().user_id,
        }
    )
    if call.code is not grpc.StatusCode.OK:
        span.fail(call.code.name, ours=call.code in _SERVER_ERRORS)
