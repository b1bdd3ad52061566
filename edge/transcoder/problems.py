"""Problem documents (RFC 9457): the one shape of every error that leaves over HTTP."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from aiohttp import web
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from multidict import CIMultiDict

CONTENT_TYPE = "application/problem+json"

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


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that was refused: its path as JSON spells it, why, and a stable code."""

    field: str
    detail: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as HTTP says it. `code` is stable and in lower_snake_case; `detail` is for people."""

    status: int
    code: str
    detail: str = ""
    errors: Sequence[FieldError] = ()
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)

    def document(self, *, instance: str = "", request_id: str = "") -> dict[str, Any]:
        """The members of the problem document, without those that are empty."""
        members = {
            "type": "about:blank",
            "title": _title(self.status),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            "requestId": request_id,
            "errors": [_error(error) for error in self.errors],
        }
        return {name: value for name, value in members.items() if value}


class Refused(Exception):
    """The request was refused before it reached an RPC, or by one; says how in a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.code)
        self.problem = problem


def problem_response(problem: Problem, *, instance: str = "", request_id: str = "") -> web.Response:
    """The problem as a response, which no cache keeps; a 401 carries a challenge (RFC 9110)."""
    headers = problem.headers.copy()
    headers.setdefault("Cache-Control", "no-store")
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    body = document_bytes(problem, instance=instance, request_id=request_id)
    return web.Response(status=problem.status, body=body, headers=headers, content_type=CONTENT_TYPE)


def document_bytes(problem: Problem, *, instance: str = "", request_id: str = "") -> bytes:
    """The problem document as compact JSON, in one line."""
    members = problem.document(instance=instance, request_id=request_id)
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def problem_of(code: int, message: str, details: bytes = b"") -> Problem:
    """The problem that an RPC's status is.

    `details` is a serialized google.rpc.Status; what it holds beyond BadRequest, ErrorInfo and RetryInfo, or what
    cannot be read, is left out.
    """
    status = _status(details)
    problem = Problem(_HTTP_STATUS.get(code, 500), _code_name(code), message)
    if code in _SAID_BY_CHANNELS and not status.details:
        problem = replace(problem, detail=_SAID_BY_CHANNELS[code])
    for packed in status.details:
        problem = _with_detail(problem, packed)
    return problem


def _with_detail(problem: Problem, packed: Any) -> Problem:
    """The problem with what one packed detail says."""
    try:
        if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            reason = error_details_pb2.ErrorInfo.FromString(packed.value).reason.lower()
            return replace(problem, code=reason or problem.code)
        if packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(packed.value).retry_delay
            problem.headers["Retry-After"] = str(max(0, delay.seconds + (delay.nanos > 0)))
        elif packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            found = error_details_pb2.BadRequest.FromString(packed.value).field_violations
            errors = (FieldError(json_path(item.field), item.description, item.reason.lower()) for item in found)
            detail = problem.detail
            for item in found:  # a message that names fields names them as the errors beside it do
                detail = detail.replace(f"{item.field}: ", f"{json_path(item.field)}: ")
            return replace(problem, detail=detail, errors=(*problem.errors, *errors))
    except DecodeError:
        pass
    return problem


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


def _title(status: int) -> str:
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase


def _error(error: FieldError) -> dict[str, str]:
    members = {"field": error.field, "detail": error.detail}
    return {**members, "code": error.code} if error.code else members
