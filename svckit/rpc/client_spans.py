"""The span of a call that this process makes: from its start to its end, whoever ends it."""

from collections.abc import Awaitable
from functools import partial
from typing import Any

import grpc

from svckit import telemetry
from svckit.telemetry import Recording

RPC_SYSTEM = "grpc"


def begin(method: str | bytes) -> Recording | None:
    """Begin the span of a call of `/package.Service/Method`; None when nothing is recorded here."""
    name = (method.decode() if isinstance(method, bytes) else method).lstrip("/")
    return telemetry.begin(name, attributes={"rpc.system.name": RPC_SYSTEM, "rpc.method": name})


async def watched(recording: Recording, starting: Awaitable[Any]) -> Any:
    """Start the call, and have its span end when it does; gives the call itself, never awaits or wraps it."""
    try:
        call = await starting
    except BaseException as error:
        recording.fail(type(error).__qualname__)
        recording.end()
        raise
    call.add_done_callback(partial(_end, recording))
    return call


def end(recording: Recording, code: grpc.StatusCode) -> None:
    """End the span of a call that ended with that status; for a client every other than OK is an error."""
    recording.note({"rpc.response.status_code": code.name})
    if code is not grpc.StatusCode.OK:
        recording.fail(code.name)
    recording.end()


def _end(recording: Recording, call: Any) -> None:
    end(recording, _code_of(call))


def _code_of(call: Any) -> grpc.StatusCode:
    """The status of a call that is over, whose coroutine therefore ends at the first step, without an event loop."""
    try:
        call.code().send(None)
    except StopIteration as over:
        if isinstance(over.value, grpc.StatusCode):
            return over.value
    return grpc.StatusCode.UNKNOWN
