"""The responses of an operation: replies, streams in every framing, and errors as problem documents."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from google.rpc import code_pb2

from edge.transcoder.fields import by_name
from edge.transcoder.framing import EVENTS, JSON, LINES, framing
from edge.transcoder.openapi.constraints import Schema
from edge.transcoder.openapi.schemas import Schemas
from edge.transcoder.problems import CONTENT_TYPE, FieldError, Problem
from edge.transcoder.routes import Route
from edge.transcoder.statuses import problem_of

PROBLEM = "Problem"
FIELD_ERROR = "FieldError"
PROBLEM_SCHEMAS: Mapping[str, Schema] = {
    PROBLEM: {
        "type": "object",
        "title": "Problem",
        "description": "Any error (RFC 9457). Programs act on `code`, people read `detail`.",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string", "description": "The status in words."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What went wrong, for people."},
            "instance": {"type": "string", "description": "The path that was asked for."},
            "code": {"type": "string", "description": "Stable, in lower_snake_case.", "pattern": "^[a-z0-9_]+$"},
            "requestId": {"type": "string", "description": "Names the request in the logs."},
            "errors": {
                "type": "array",
                "description": "The fields that were refused.",
                "items": {"$ref": f"#/components/schemas/{FIELD_ERROR}"},
            },
            "details": {
                "type": "array",
                "description": "What the service adds for programs: google.rpc's error details, or types of its own.",
                "items": {"type": "object", "required": ["@type"], "properties": {"@type": {"type": "string"}}},
            },
        },
    },
    FIELD_ERROR: {
        "type": "object",
        "title": "FieldError",
        "description": "One field that was refused.",
        "required": ["field", "detail"],
        "properties": {
            "field": {"type": "string", "description": "Its path, as JSON spells it: `lineItems[0].unitPrice`."},
            "detail": {"type": "string", "description": "Why, for people."},
            "code": {"type": "string", "description": "Why, for programs."},
        },
    },
}
IF_NONE_MATCH: Schema = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of the answer that the client has.",
    "schema": {"type": "string"},
}
LAST_EVENT_ID: Schema = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The `id` of the last event that the client has: the stream goes on after it. "
    "A browser's EventSource sends it when it connects again.",
    "schema": {"type": "string"},
}
ETAG: Schema = {"description": "Names this state of the answer, for `If-None-Match`.", "schema": {"type": "string"}}
UPGRADE: Mapping[str, Schema] = {
    "101": {"description": "The WebSocket is open."},
    "426": {"$ref": "#/components/responses/UpgradeRequired"},
}
_REASON = re.compile(r"\(reason ([A-Z_0-9]+)")
_UNREADABLE = "The request cannot be read, or breaks a rule: `errors` names the fields."
_FRAMES = {
    EVENTS: "Server-Sent Events: the `data` of each is one message as JSON. A comment keeps an idle stream alive. "
    "A stream that fails ends with an event named `error`, whose data is a problem document.",
    LINES: "One message as JSON a line. A stream that fails ends with a line that has a problem document as `{error}`.",
}


def problem(
    description: str, status: int, code: str, errors: Sequence[FieldError] = (), *, headers: Sequence[str] = ()
) -> Schema:
    """A response that is a problem document, with an example of it and the component names of its headers."""
    detail = description.partition("\n\n")[0].replace("`", "")
    example = Problem(status, code, detail, errors).document(request_id="7f3a9c41d2b84e0f9a1c5d6e8b2f4a70")
    media = {"schema": {"$ref": f"#/components/schemas/{PROBLEM}"}, "example": example}
    shown = {"headers": {name: reference(name, kind="headers") for name in headers}} if headers else {}
    return {"description": description, **shown, "content": {CONTENT_TYPE: media}}


def component_responses() -> dict[str, Schema]:
    """The responses that any operation may have."""
    refused = [
        FieldError("pageSize", "must be greater than or equal to 0 and less than or equal to 100", "int32.gte_lte")
    ]
    return {
        "BadRequest": problem(_UNREADABLE, 400, "invalid_argument", refused),
        "NotAcceptable": problem("Nothing that the `Accept` header asks for is served here.", 406, "not_acceptable"),
        "UnsupportedMediaType": problem(
            "The body is in a content type or charset that is not read here.", 415, "unsupported_media_type"
        ),
        "Failed": problem("The service failed, is away, or did not answer in time.", 503, "unavailable"),
        "NotModified": {"description": "The client has it already: `If-None-Match` names its `ETag`."},
        "UpgradeRequired": problem("The request is no WebSocket handshake.", 426, "upgrade_required"),
    }


def errors_of(errors: Mapping[str, str], *, has_body: bool) -> dict[str, Schema]:
    """The responses of what can go wrong, by status; the codes of a comment that share a status share a response."""
    found = {"400": reference("BadRequest"), "406": reference("NotAcceptable"), "5XX": reference("Failed")}
    if has_body:
        found["415"] = reference("UnsupportedMediaType")
    by_status: dict[int, list[str]] = {}
    codes: dict[int, str] = {}
    for name, text in errors.items():
        status = int(name) if name.isdigit() else problem_of(code_pb2.Code.Value(name), "").status
        by_status.setdefault(status, []).append(text)
        reason = _REASON.search(text)
        codes.setdefault(status, (reason[1] if reason else _name(name)).lower())
    if 400 in by_status:
        by_status[400].append(f"Or: {_UNREADABLE[:1].lower()}{_UNREADABLE[1:]}")
    return found | {str(status): problem("\n\n".join(by_status[status]), status, codes[status]) for status in by_status}


def _name(answer: str) -> str:
    return HTTPStatus(int(answer)).name if answer.isdigit() else answer


def reference(name: str, *, kind: str = "responses") -> Schema:
    """A reference to something among the components."""
    return {"$ref": f"#/components/{kind}/{name}"}


def unary(route: Route, schemas: Schemas, example: Any) -> Schema:
    """The content of a single reply, by content type."""
    schema = _message(route, schemas)
    return {"*/*": {"schema": schema}} if route.raw_reply else {JSON: _with_example({"schema": schema}, example)}


def stream(route: Route, schemas: Schemas, examples: Sequence[Any]) -> Schema:
    """The content of a stream of replies, by content type. What an event is says `x-itemSchema`."""
    if route.raw_reply:
        return {"*/*": {"schema": {"description": "Bytes as they come, of the content type of the first part."}}}
    item = _message(route, schemas)
    key = "@error" if not route.response_body and "error" in by_name(route.method.output) else "error"
    content: Schema = {
        media: {
            "schema": {"type": "string", "description": words.replace("{error}", key)},
            "x-itemSchema": item,
        }
        for media, words in _FRAMES.items()
    }
    content[JSON] = {"schema": {"type": "array", "items": item, "description": "All messages, when the last is there."}}
    for media, value in content.items():
        _with_example(value, _on_the_wire(route, media, examples) if examples else None)
    return content


def _message(route: Route, schemas: Schemas) -> Schema:
    """The schema of one reply: of the message, or of its one field that is sent."""
    message = route.method.output
    return schemas.of_field(by_name(message)[route.response_body]) if route.response_body else schemas.of_kind(message)


def _on_the_wire(route: Route, media: str, messages: Sequence[Any]) -> Any:
    if media == JSON:
        return list(messages)
    lines = [json.dumps(message, ensure_ascii=False, separators=(",", ":")) for message in messages]
    if media == EVENTS and route.print_event is not None:
        kind = route.method.output.type
        events = [route.print_event(kind.from_json(line).to_binary()) for line in lines]
        return framing(media, has_error_field=False, numbered=True).frame(events, first=True).decode()
    return framing(media, has_error_field=False).frame([line.encode() for line in lines], first=True).decode()


def _with_example(media: Schema, example: Any) -> Schema:
    if example is not None:
        media["example"] = example
    return media


def merged(contents: Iterable[Schema]) -> Schema:
    """Several contents as one; the first of a type counts, as a unary reply does before a stream's array."""
    found: Schema = {}
    for content in contents:
        for media, value in content.items():
            found.setdefault(media, value)
    return found
