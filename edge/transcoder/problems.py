"""Problem documents (RFC 9457): the one shape of every error that leaves over HTTP."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import web
from multidict import CIMultiDict

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that was refused: its path as JSON spells it, why, and a stable code."""

    field: str
    detail: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as HTTP says it. `code` is stable and in lower_snake_case; `detail` is for people.

    `details` are for programs: the service's own, as ProtoJSON with `@type`.
    """

    status: int
    code: str
    detail: str = ""
    errors: Sequence[FieldError] = ()
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    details: Sequence[object] = ()

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
            "details": list(self.details),
        }
        return {name: value for name, value in members.items() if value}


class WriteProblem(Protocol):
    """Makes the response that a problem is."""

    def __call__(self, problem: Problem, *, instance: str = "", request_id: str = "") -> web.Response:
        """`instance` is the path of the request."""


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


def _title(status: int) -> str:
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase


def _error(error: FieldError) -> dict[str, str]:
    members = {"field": error.field, "detail": error.detail}
    return {**members, "code": error.code} if error.code else members
