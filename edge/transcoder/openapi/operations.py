"""One operation: what a method and a path mean, which may be one RPC, or a unary and a streaming one."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protobuf import DescField, ScalarType

from edge.transcoder.fields import by_name, is_http_body, is_singular, kind_of
from edge.transcoder.framing import EVENTS, LINES
from edge.transcoder.openapi import replies
from edge.transcoder.openapi.comments import Prose, prose_of
from edge.transcoder.openapi.constraints import Schema
from edge.transcoder.openapi.parameters import query_parameters
from edge.transcoder.openapi.paths import path_parameters
from edge.transcoder.openapi.schemas import Schemas
from edge.transcoder.routes import Route

Amend = Callable[[Route], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Example:
    """What an RPC is sent and what it answers, as JSON has it; `events` are the messages of a stream."""

    request: Any = None
    response: Any = None
    events: Sequence[Any] = field(default_factory=list)


NO_EXAMPLE = Example()
FORM = "multipart/form-data"
_FILE: Schema = {"type": "string", "contentMediaType": "application/octet-stream", "description": "A file."}


@dataclass(frozen=True, slots=True)
class Operations:
    """Makes operations. `amend` adds members of the application's to each; `examples` are by the RPC's full name."""

    schemas: Schemas
    amend: Amend
    examples: Mapping[str, Example]

    def make(self, id: str, routes: Sequence[Route], names: Sequence[str], *, same_as: str = "") -> Schema:
        """The operation of routes that share a method and a path, whose parameters have these `names`.

        `same_as` is the method and path where the same is described already.
        """
        routes = sorted(routes, key=lambda route: route.streaming)
        route, prose = routes[0], [self._prose(route) for route in routes]
        operation: Schema = {
            "operationId": id,
            "tags": [route.method.parent.name],
            **(_second(same_as) if same_as else _first(routes, prose)),
            "x-rpc": [route.rpc for route in routes],
        }
        if any(route.method.deprecated for route in routes):
            operation["deprecated"] = True
        if parameters := self._parameters(routes, names):
            operation["parameters"] = parameters
        if route.body:
            operation["requestBody"] = self._body(routes)
        operation["responses"] = self._responses(routes, prose)
        if over := [route for route in routes if _fits_websocket(route)]:
            operation["x-websocket"] = self._websocket(over[-1])
        return _amended(operation, self.amend(route))

    def _prose(self, route: Route) -> Prose:
        return prose_of(self.schemas.comment(route.rpc), route.method.name)

    def _parameters(self, routes: Sequence[Route], names: Sequence[str]) -> list[Schema]:
        route = routes[0]
        message = route.method.input
        parameters = path_parameters(route.template, names, message, self.schemas)
        if route.body != "*" and not route.streams_requests:
            elsewhere = [variable.path for variable in route.template.variables]
            elsewhere += [(route.body,)] if route.body else []
            parameters += query_parameters(message, elsewhere=elsewhere, schemas=self.schemas)
        if _is_conditional(route):
            parameters.append(replies.reference("IfNoneMatch", kind="parameters"))
        if any(route.print_event and not route.streams_requests for route in routes):
            parameters.append(replies.reference("LastEventID", kind="parameters"))
        return parameters

    def _body(self, routes: Sequence[Route]) -> Schema:
        contents = [self._body_content(route) for route in routes]
        content = contents[0] if all(self._same(contents[0], other) for other in contents) else _either(contents)
        return {"required": any(self._needs_body(route) for route in routes), "content": content}

    def _body_content(self, route: Route) -> Schema:
        message, schemas = route.method.input, self.schemas
        if route.body != "*":
            field = by_name(message)[route.body]
            kind, schema = kind_of(field), schemas.of_field(field)
        else:
            kind = message
            bound = [variable.path[0] for variable in route.template.variables if len(variable.path) == 1]
            schema = schemas.body_of(message, without=bound)
        form = self._form(route) if FORM in route.bind.body_types else {}
        if is_http_body(kind):
            return {"*/*": {"schema": schema}, **form}
        if route.streams_requests:
            return {LINES: {"schema": {"type": "string", "description": "One message a line."}, "x-itemSchema": schema}}
        content: Schema = {"schema": schema}
        if (request := self.examples.get(route.rpc, NO_EXAMPLE).request) is not None:
            content["example"] = request
        return {"application/json": content, **form}

    def _form(self, route: Route) -> Schema:
        """The content of a form: files for fields of bytes, text for the others."""
        message = route.method.input
        fields = [by_name(message)[route.body]] if route.body != "*" else list(message.fields)
        bound = {variable.path[0] for variable in route.template.variables}
        parts = {field.json_name: self._part(field) for field in fields if field.name not in bound}
        if is_http_body(message) and route.body == "*":
            parts = {"file": dict(_FILE)}
        return {FORM: {"schema": {"type": "object", "properties": parts}}}

    def _part(self, field: DescField) -> Schema:
        kind = kind_of(field)
        if not is_http_body(kind) and kind is not ScalarType.BYTES:
            return self.schemas.of_field(field)
        return dict(_FILE) if is_singular(field) else {"type": "array", "items": dict(_FILE)}

    def _same(self, one: Schema, other: Schema) -> bool:
        """Whether two contents ask for the same, whatever their messages are called."""
        return self._shape(one) == self._shape(other)

    def _shape(self, content: Schema) -> str:
        media, value = next(iter(content.items()))
        name = value["schema"].get("$ref", "").rpartition("/")[2]
        schema = self.schemas.components.get(name, value["schema"])
        return media + json.dumps({key: schema[key] for key in schema if key not in ("title", "description")})

    def _needs_body(self, route: Route) -> bool:
        """Whether no body at all is refused: one is an empty message to the transcoder."""
        message = route.method.input
        if route.body != "*":
            return self.schemas.is_required(by_name(message)[route.body])
        bound = {variable.path[0] for variable in route.template.variables}
        return any(self.schemas.is_required(field) for field in message.fields if field.name not in bound)

    def _responses(self, routes: Sequence[Route], prose: Sequence[Prose]) -> Schema:
        errors: dict[str, str] = {}
        for said in prose:
            errors |= {code: text for code, text in said.errors.items() if code not in errors}
        responses = self._successes(routes, prose[0]) | replies.errors_of(errors, has_body=bool(routes[0].body))
        return dict(sorted(responses.items()))

    def _successes(self, routes: Sequence[Route], prose: Prose) -> Schema:
        if _needs_websocket(routes[0]):
            return dict(replies.UPGRADE)
        contents = []
        for route in routes:
            example = self.examples.get(route.rpc, NO_EXAMPLE)
            if route.streaming:
                contents.append(replies.stream(route, self.schemas, example.events))
            else:
                contents.append(replies.unary(route, self.schemas, example.response))
        what = " or ".join(_what(route) for route in routes)
        answer: Schema = {"description": f"{what[:1].upper()}{what[1:]}.", "content": replies.merged(contents)}
        if prose.successes:
            return {status: {**answer, "description": text} for status, text in prose.successes.items()}
        responses: Schema = {"200": answer}
        if _is_conditional(routes[0]):
            answer["headers"] = {"ETag": replies.reference("ETag", kind="headers")}
            responses["304"] = replies.reference("NotModified")
        return responses

    def _websocket(self, route: Route) -> Schema:
        """What goes over a WebSocket, for which OpenAPI has no words of its own."""
        method = route.method
        sent = {"send": self.schemas.of_kind(method.input)} if route.streams_requests or route.body else {}
        return {**sent, "receive": self.schemas.of_kind(method.output)}


def _needs_websocket(route: Route) -> bool:
    """Whether messages go both ways, or nothing says where a body of them would go."""
    return route.streams_requests and (route.streaming or not route.body)


def _fits_websocket(route: Route) -> bool:
    return (route.streaming or route.streams_requests) and not (route.raw_reply or route.raw_request)


def _is_conditional(route: Route) -> bool:
    return route.http_method == "GET" and not route.streaming and not route.streams_requests


def _what(route: Route) -> str:
    return "a stream of messages" if route.streaming else "the answer"


def _first(routes: Sequence[Route], prose: Sequence[Prose]) -> Schema:
    summary = prose[0].summary.rstrip(".").replace("`", "") or routes[0].method.name
    return {"summary": summary, "description": _description(routes, prose)}


def _second(same_as: str) -> Schema:
    """What is said where an RPC has one more path: a reader must not look for a difference."""
    return {"summary": f"Same as {same_as}", "description": f"The same as `{same_as}`, by another path."}


def _description(routes: Sequence[Route], prose: Sequence[Prose]) -> str:
    """What the comment says behind its first sentence; of the stream beside a unary RPC, all of it."""
    parts = [prose[0].summary, prose[0].rest] if prose[0].summary else [f"Calls `{routes[0].rpc}`."]
    for route, said in zip(routes[1:], prose[1:], strict=True):
        parts.append(f"With `Accept: {EVENTS}` or `{LINES}` this is {route.method.name}. {said.summary}".rstrip())
        parts.append(said.rest)
    if any(_fits_websocket(route) for route in routes):
        parts.append("A WebSocket opened here carries one message as JSON in every text frame, each way.")
    return "\n\n".join(part for part in parts if part)


def _either(contents: Sequence[Schema]) -> Schema:
    schemas = [media["schema"] for content in contents for media in content.values()]
    return {"application/json": {"schema": {"anyOf": schemas}}}


def _amended(operation: Schema, more: Mapping[str, Any]) -> Schema:
    """The operation with more members; of responses that both have, the RPC's own words count."""
    for name, value in more.items():
        if name == "parameters":
            operation.setdefault(name, []).extend(value)
        elif name == "responses":
            operation[name] = dict(sorted({**value, **operation[name]}.items()))
        elif name == "description":
            operation[name] = f"{operation[name]}\n\n{value}"
        else:
            operation[name] = value
    return operation
