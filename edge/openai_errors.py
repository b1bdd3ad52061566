"""Problems as OpenAI's API would say them, for clients that were written against it."""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from edge.transcoder import Problem, problem_response

_TYPES: Mapping[int, str] = MappingProxyType(
    {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
)
# Codes that clients of theirs look for, by ours.
_CODES: Mapping[str, str] = MappingProxyType(
    {
        "context_overflow": "context_length_exceeded",
        "content_filtered": "content_filter",
        "quota_exceeded": "insufficient_quota",
        "rate_limited": "rate_limit_exceeded",
        "too_many_generations": "rate_limit_exceeded",
    }
)
_TEXT_OR_NULL = {"type": ["string", "null"]}
OPENAI_ERROR: Mapping[str, Any] = {
    "type": "object",
    "title": "OpenAIError",
    "description": "An error as OpenAI's API says it.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": _TEXT_OR_NULL,
                "code": _TEXT_OR_NULL,
            },
        }
    },
}


def openai_error(problem: Problem, *, instance: str = "", request_id: str = "") -> web.Response:
    """The problem in OpenAI's shape, with the status and headers that it has anyway."""
    response = problem_response(problem, instance=instance, request_id=request_id)
    kind = "server_error" if problem.status >= 500 else _TYPES.get(problem.status, "invalid_request_error")
    error = {
        "message": problem.detail or problem.code,
        "type": kind,
        "param": _snake_case(problem.errors[0].field) if problem.errors else None,
        "code": "invalid_api_key" if problem.status == 401 else _CODES.get(problem.code, problem.code),
    }
    response.body = json.dumps({"error": error}, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    response.content_type = "application/json"
    return response


def _snake_case(path: str) -> str:
    """A field's path as their API spells it; a problem has it in camelCase."""
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", path)
