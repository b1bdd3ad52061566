"""Our errors as gRPC statuses with google.rpc details, and back: they survive the way between two processes.

`ErrorInfo` (reason, metadata), `BadRequest` (field violations) and `RetryInfo` travel in `grpc-status-details-bin`.
https://google.aip.dev/193
"""

from typing import cast

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2
from grpc_status import rpc_status

from svckit import errors
from svckit.errors import FieldViolation, ServiceError

DOMAIN = "chatmesh"

# Statuses travel in HTTP/2 headers, of which peers accept 8 KiB; base64 adds a third.
_MESSAGE_LIMIT = 512
_VIOLATIONS_LIMIT = 3 << 10

_SAID_BY_CHANNELS = {
    grpc.StatusCode.UNAVAILABLE: "a service is not available, try again",
    grpc.StatusCode.DEADLINE_EXCEEDED: "a service did not answer in time",
}

_BY_STATUS = {kind.status: kind for kind in ServiceError.__subclasses__()}


def to_status(error: ServiceError) -> grpc.Status:
    """The status that tells a caller of `error`, as a server sends it."""
    return rpc_status.to_status(status_of(error))


def status_of(error: ServiceError) -> status_pb2.Status:
    """The google.rpc.Status that says `error`; long messages and long lists of violations are cut."""
    status = status_pb2.Status(code=error.status.value[0], message=error.message[:_MESSAGE_LIMIT])
    status.details.add().Pack(details.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.violations:
        status.details.add().Pack(_bad_request(error))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        status.details.add().Pack(details.RetryInfo(retry_delay=delay))
    return status


def _bad_request(error: ServiceError) -> details.BadRequest:
    request = details.BadRequest()
    for violation in error.violations:
        request.field_violations.add(
            field=violation.field[:_MESSAGE_LIMIT],
            description=violation.description[:_MESSAGE_LIMIT],
            reason=violation.reason,
        )
        if request.ByteSize() > _VIOLATIONS_LIMIT:
            break
    return request


def received(error: grpc.aio.AioRpcError) -> ServiceError:
    """What the other process raised; a status outside of our vocabulary comes back as `Internal`.

    A status without details is the channel's own: its words name addresses that are no caller's business.
    """
    kind = _BY_STATUS.get(error.code(), errors.Internal)
    info, request, retry = details.ErrorInfo(), details.BadRequest(), details.RetryInfo()
    status = rpc_status.from_call(cast(grpc.Call, error))
    for detail in status.details if status else ():
        for known in (info, request, retry):
            detail.Unpack(known)
    message = error.details() or ""
    return kind(
        message if status else _SAID_BY_CHANNELS.get(error.code(), message),
        reason=info.reason,
        metadata=info.metadata,
        violations=[FieldViolation(v.field, v.description, v.reason) for v in request.field_violations],
        retry_after=retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None,
    )
