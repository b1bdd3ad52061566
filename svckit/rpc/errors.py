"""Turns whatever a handler raises into a status: the only place that does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog
from prometheus_client import Counter

from svckit import errors
from svckit.errors import ServiceError
from svckit.rpc.call import Call
from svckit.rpc.status import to_status

log = structlog.get_logger(__name__)

# Reasons are written in code, never made of what a caller sends, so there are as many series as the contracts have.
_ERRORS = Counter("rpc_server_errors_total", "RPCs answered with an error, by its reason.", ["reason"])


@asynccontextmanager
async def translated(call: Call) -> AsyncIterator[None]:
    """Answer a `ServiceError` as its status with details; anything else is logged whole and answered as INTERNAL.

    What fails only because its client is gone is cancelled instead.
    """
    try:
        yield
        call.take_code()
    except ServiceError as error:
        await _answer(call, error)
    except grpc.aio.AioRpcError as error:
        log.warning("a call to another service failed", code=error.code().name, details=error.details())
        await _answer(call, _downstream(error))
    except grpc.aio.AbortError:
        call.take_code()
        raise
    except grpc.aio.InternalError as error:  # a write that finds its client gone before gRPC has cancelled the call
        raise asyncio.CancelledError from error
    except Exception:
        log.exception("an RPC crashed", method=call.rpc.name)
        await _answer(call, errors.Internal("internal error"))


async def _answer(call: Call, error: ServiceError) -> None:
    call.code = error.status
    _ERRORS.labels(error.reason).inc()
    status = to_status(error)
    declared = (("x-http-status", str(error.http_status)),) if error.http_status else ()
    await call.context.abort(status.code, status.details, (*status.trailing_metadata, *declared))


def _downstream(error: grpc.aio.AioRpcError) -> ServiceError:
    """What our caller hears of a failed call of ours: that it may try again, or that it is our fault.

    Any other status speaks of our request, not of our caller's. https://grpc.io/docs/guides/status-codes/
    """
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return errors.Unavailable("a service that this needs is not available")
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded("a service that this needs did not answer in time")
    return errors.Internal("internal error")
