"""A call that this process makes: one measurement and one span, from its start to its end, whoever ends it."""

import asyncio
import time
from collections.abc import Awaitable
from functools import cache
from typing import Any

import grpc
from prometheus_client import Histogram

from svckit import telemetry
from svckit.telemetry import Recording

RPC_SYSTEM = "grpc"

_DURATION = Histogram(
    "rpc_client_call_duration_seconds",
    "Duration of RPCs made, as who calls sees it: retries, and all messages of a stream, included.",
    ["rpc_method", "rpc_response_status_code"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)


class ClientCall:
    """A call of `/package.Service/Method` that begins now; its span is None where nothing is recorded."""

    def __init__(self, method: str | bytes) -> None:
        self._method = (method.decode() if isinstance(method, bytes) else method).lstrip("/")
        self._began = time.perf_counter()
        told = {"rpc.system.name": RPC_SYSTEM, "rpc.method": self._method}
        self.span: Recording | None = telemetry.begin(self._method, attributes=told)

    @property
    def traceparent(self) -> str:
        """What the call takes along, so that the other side's span is below its own."""
        return str(self.span.place) if self.span else telemetry.outgoing()

    async def watched(self, starting: Awaitable[Any]) -> Any:
        """Start it, and see when it ends; gives gRPC's call itself, never awaits or wraps it."""
        try:
            call = await starting
        except BaseException as error:
            gone = isinstance(error, asyncio.CancelledError)
            self.end(grpc.StatusCode.CANCELLED if gone else grpc.StatusCode.UNKNOWN)
            raise
        call.add_done_callback(lambda ended: self.end(_code_of(ended)))
        return call

    def end(self, code: grpc.StatusCode) -> None:
        """It ended with that status; for a client every other than OK is an error."""
        _duration(self._method, code.name).observe(time.perf_counter() - self._began)
        if self.span is not None:
            self.span.note({"rpc.response.status_code": code.name})
            if code is not grpc.StatusCode.OK:
                self.span.fail(code.name)
            self.span.end()


@cache
def _duration(method: str, code: str) -> Histogram:
    return _DURATION.labels(method, code)


def _code_of(call: Any) -> grpc.StatusCode:
    """The status of a call that is over, whose coroutine therefore ends at the first step, without an event loop."""
    try:
        call.code().send(None)
    except StopIteration as over:
        if isinstance(over.value, grpc.StatusCode):
            return over.value
    return grpc.StatusCode.UNKNOWN
