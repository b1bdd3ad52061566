"""Calls to other people's HTTP servers by aiohttp: a span and a measurement each, without query, headers or body."""

import time
from types import SimpleNamespace

from aiohttp import (
    ClientSession,
    TraceConfig,
    TraceRequestEndParams,
    TraceRequestExceptionParams,
    TraceRequestStartParams,
)
from prometheus_client import Histogram
from yarl import URL

from svckit import telemetry

_DURATION = Histogram(
    "http_client_request_duration_seconds",
    "Requests to other people's servers, until the head of the answer; without an answer the status is empty.",
    ["server_address", "http_request_method", "http_response_status_code"],
)


def observed() -> TraceConfig:
    """What to give a `ClientSession`, in its `trace_configs`."""
    config = TraceConfig()
    config.on_request_start.append(_start)
    config.on_request_end.append(_end)
    config.on_request_exception.append(_failed)
    return config


async def _start(_session: ClientSession, call: SimpleNamespace, params: TraceRequestStartParams) -> None:
    call.began = time.perf_counter()
    call.recording = telemetry.begin(
        params.method,
        attributes={
            "http.request.method": params.method,
            "server.address": params.url.host or "",
            "server.port": params.url.port or "",
            "url.full": str(params.url.with_query(None).with_user(None)),
        },
    )


async def _end(_session: ClientSession, call: SimpleNamespace, params: TraceRequestEndParams) -> None:
    status = params.response.status
    _measure(call, params.method, params.url, str(status))
    if call.recording is not None:
        call.recording.note({"http.response.status_code": status})
        if status >= 400:
            call.recording.fail(str(status))
        call.recording.end()


async def _failed(_session: ClientSession, call: SimpleNamespace, params: TraceRequestExceptionParams) -> None:
    """A request that was cancelled comes by here, too."""
    _measure(call, params.method, params.url, "")
    if call.recording is not None:
        call.recording.fail(type(params.exception).__qualname__, ours=isinstance(params.exception, Exception))
        call.recording.end()


def _measure(call: SimpleNamespace, method: str, url: URL, status: str) -> None:
    _DURATION.labels(url.host or "", method, status).observe(time.perf_counter() - call.began)
