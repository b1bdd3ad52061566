"""The status of an RPC as a problem: its HTTP status, and what its google.rpc details say."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from protobuf import Registry

from edge.transcoder.details import shown
from edge.transcoder.problems import FieldError, Problem

# google/rpc/code.proto names the HTTP status of each code beside it.
_HTTP_STATUS = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
}

# Without details it is a channel that speaks: of addresses inside, or in words that help nobody.
_SAID_BY_CHANNELS = {
    code_pb2.UNAVAILABLE: "The service is not available.",
    code_pb2.DEADLINE_EXCEEDED: "The service did not answer in time.",
}


_LANGUAGE_TAG = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,8}")


def problem_of(code: int, message: str, details: bytes = b"", registry: Registry | None = None) -> Problem:
    """The problem that an RPC's status is.

    `details` is a serialized google.rpc.Status. Of what it holds, BadRequest becomes `errors`, the reason of ErrorInfo
    the code, RetryInfo a `Retry-After`, a LocalizedMessage the words for people; and all of it but BadRequest and
    DebugInfo is shown as `details`, if its type is one of google.rpc or in `registry`. What cannot be read is left out.
    """
    status = _status(details)
    problem = Problem(_HTTP_STATUS.get(code, 500), _code_name(code), message)
    if code in _SAID_BY_CHANNELS and not status.details:
        problem = replace(problem, detail=_SAID_BY_CHANNELS[code])
    for packed in status.details:
        problem = _with_detail(problem, packed)
    return replace(problem, details=tuple(shown(status.details, registry)))


def _with_detail(problem: Problem, packed: Any) -> Problem:
    """The problem with what one packed detail says."""
    known = _MEANINGS.get(packed.type_url.rpartition("/")[2])
    if known is None:
        return problem
    message, add = known
    try:
        return add(problem, message.FromString(packed.value))
    except DecodeError:
        return problem


def _error_info(problem: Problem, info: Any) -> Problem:
    return replace(problem, code=info.reason.lower() or problem.code)


def _retry_info(problem: Problem, retry: Any) -> Problem:
    delay = retry.retry_delay
    problem.headers["Retry-After"] = str(max(0, delay.seconds + (delay.nanos > 0)))
    return problem


def _localized(problem: Problem, localized: Any) -> Problem:
    if not localized.message:
        return problem
    if _LANGUAGE_TAG.fullmatch(localized.locale):
        problem.headers["Content-Language"] = localized.locale
    return replace(problem, detail=localized.message)


def _bad_request(problem: Problem, request: Any) -> Problem:
    found = request.field_violations
    errors = (FieldError(json_path(item.field), _words(item), item.reason.lower()) for item in found)
    detail = problem.detail
    for item in found:  # a message that names fields names them as the errors beside it do
        detail = detail.replace(f"{item.field}: ", f"{json_path(item.field)}: ")
    return replace(problem, detail=detail, errors=(*problem.errors, *errors))


def _words(violation: Any) -> str:
    return str(violation.localized_message.message or violation.description)


_MEANINGS: dict[str, tuple[Any, Callable[[Problem, Any], Problem]]] = {
    "google.rpc.ErrorInfo": (error_details_pb2.ErrorInfo, _error_info),
    "google.rpc.RetryInfo": (error_details_pb2.RetryInfo, _retry_info),
    "google.rpc.BadRequest": (error_details_pb2.BadRequest, _bad_request),
    "google.rpc.LocalizedMessage": (error_details_pb2.LocalizedMessage, _localized),
}


def json_path(path: str) -> str:
    """A field path in JSON's spelling: `line_items[0].unit_price` is `lineItems[0].unitPrice`."""
    return _SNAKE.sub(lambda found: found[1].upper(), path)


_SNAKE = re.compile(r"_([a-z0-9])(?=[^\"]*(?:\"[^\"]*\"[^\"]*)*$)")  # a map key in quotes is data


def _status(details: bytes) -> Any:
    try:
        return status_pb2.Status.FromString(details)
    except DecodeError:
        return status_pb2.Status()


def _code_name(code: int) -> str:
    return str(code_pb2.Code.Name(code)).lower() if code in _HTTP_STATUS else "unknown"
