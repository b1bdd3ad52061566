"""Routes: HTTP rules checked and compiled, each to one function from a request to message bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from protobuf import DescField, DescMessage, DescMethod

from edge.transcoder.bodies import PrintBody, ReadBody, body_printer, request_body
from edge.transcoder.descriptors import Rule, RuleError, full_name, grpc_path
from edge.transcoder.escapes import EscapeError, Unescape, decode, decode_multi
from edge.transcoder.event_ids import PrintEvent, event_printer
from edge.transcoder.fields import is_http_body, is_raw_body, is_singular, kind_of
from edge.transcoder.forms import form_of
from edge.transcoder.json_codec import JsonCodec
from edge.transcoder.masks import update_mask
from edge.transcoder.problems import FieldError, Problem, Refused
from edge.transcoder.query import Query
from edge.transcoder.required import Required
from edge.transcoder.templates import Template, Variable
from edge.transcoder.wire import TextError, encoder


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One HTTP binding of one RPC.

    `rpc` is the method's full name (`library.v1.LibraryService.GetBook`), `path` its gRPC path. `template`, `body` and
    `response_body` are the annotation's, `method` is the descriptor: what an OpenAPI document needs. `streaming`
    is about the replies. `raw_reply`: the answer is a google.api.HttpBody, whose content type only the service knows;
    `raw_request`: the body is one.
    """

    http_method: str
    template: Template
    body: str
    response_body: str
    method: DescMethod
    rpc: str
    path: str
    streaming: bool
    streams_requests: bool
    raw_reply: bool
    raw_request: bool
    bind: "Binder" = field(repr=False)
    print_body: PrintBody = field(repr=False)
    print_event: PrintEvent | None = field(repr=False)


def compile_route(
    rule: Rule, codec: JsonCodec, required: Required, *, unescape: Unescape, ignore_unknown: bool, event_id: str = ""
) -> Route:
    """Check a rule against its RPC's messages and make its route; raises RuleError."""
    method, rpc = rule.method, full_name(rule.method)
    try:
        body_field = _top_level(method.input, rule.body, "body") if rule.body not in ("", "*") else None
        reply_field = _top_level(method.output, rule.response_body, "response_body") if rule.response_body else None
        raw_reply = is_http_body(kind_of(reply_field) if reply_field else method.output)
        raw_request = bool(rule.body) and is_raw_body(method.input, body_field)
        if method.method_kind == "bidi_streaming" and (raw_reply or raw_request):
            raise ValueError("a bidirectional stream of google.api.HttpBody cannot be served")
        bind = Binder(rule, body_field, codec, required, unescape=unescape, ignore_unknown=ignore_unknown)
    except ValueError as error:
        raise RuleError(rpc, f"{rule.http_method} {rule.template.text}: {error}") from None
    return Route(
        http_method=rule.http_method,
        template=rule.template,
        body=rule.body,
        response_body=rule.response_body,
        method=method,
        rpc=rpc,
        path=grpc_path(method),
        streaming=method.method_kind in ("server_streaming", "bidi_streaming"),
        streams_requests=method.method_kind in ("client_streaming", "bidi_streaming"),
        raw_reply=raw_reply,
        raw_request=raw_request,
        bind=bind,
        print_body=body_printer(codec, method.output, reply_field),
        print_event=event_printer(codec, method.output, event_id) if event_id and reply_field is None else None,
    )


class Binder:
    """Makes the request message of a route: the bytes of the body, then of the query, then of the path.

    That order is the precedence, as the last one wins on the wire (edge.transcoder.wire). A stream of requests comes in
    bodies even if the rule has no body clause: each then is a whole message. `body_types` are the content types of
    bodies to document.
    """

    def __init__(
        self,
        rule: Rule,
        body: DescField | None,
        codec: JsonCodec,
        required: Required,
        *,
        unescape: Unescape,
        ignore_unknown: bool,
    ) -> None:
        message = rule.method.input
        self._variables = [_bound(message, variable, body, unescape) for variable in rule.template.variables]
        bound = [variable.path for variable in rule.template.variables]
        streams = rule.method.method_kind in ("client_streaming", "bidi_streaming")
        takes_form = rule.body and not streams
        form = form_of(message, body, bound=bound, ignore_unknown=ignore_unknown) if takes_form else None
        taken = request_body(codec, message, body, form) if rule.body or streams else None
        self._body: ReadBody | None = taken.read if taken else None
        self.body_types = taken.types if taken else ()
        self._mask = update_mask(message, body, bound) if body and rule.http_method == "PATCH" else None
        self._query = Query(message, elsewhere=bound, body=rule.body, ignore_unknown=ignore_unknown)
        self._required = required.of(message)
        self.reads_body = self._body is not None

    def __call__(self, segments: Sequence[str], query: str, body: bytes, content_type: str) -> bytes:
        """The request message's wire bytes; raises Refused. `segments` and `query` are raw."""
        message = self.body(body, content_type) + self.url(segments, query)
        if self._mask is not None:
            message += self._mask(body, query)
        return self.whole(message)

    def body(self, body: bytes, content_type: str) -> bytes:
        """The wire bytes of what the body says; raises Refused."""
        return self._body(body, content_type) if self._body is not None else b""

    def url(self, segments: Sequence[str], query: str) -> bytes:
        """The wire bytes of what the URL says; raises Refused."""
        message = self._query.bind(query) if query else b""
        for variable in self._variables:
            message += variable(segments)
        return message

    def whole(self, message: bytes) -> bytes:
        """The message, to which nothing is to be added; raises Refused if it lacks what it must have."""
        if self._required is not None:
            self._required(message)
        return message


def _bound(
    message: DescMessage, variable: Variable, body: DescField | None, unescape: Unescape
) -> Callable[[Sequence[str]], bytes]:
    """The function from raw segments to the wire bytes of one path variable."""
    name = ".".join(variable.path)
    chain = _path_chain(message, variable.path)
    encode = encoder(chain)
    if body is not None and variable.path == (body.name,):
        raise ValueError(f"{name} is both in the path and the body")
    start, end, json_name = variable.start, variable.end, ".".join(field.json_name for field in chain)

    def bind(segments: Sequence[str]) -> bytes:
        try:
            if variable.multi:
                return encode(decode_multi("/".join(segments[start:end]), unescape))
            return encode(decode(segments[start]))
        except EscapeError as error:
            raise Refused(Problem(400, "malformed_url", f"{error}.")) from None
        except TextError as error:
            wrong = FieldError(json_name, str(error), "invalid_value")
            raise Refused(Problem(400, "invalid_argument", f"{json_name}: {error}.", [wrong])) from None

    return bind


def _path_chain(message: DescMessage, path: tuple[str, ...]) -> list[DescField]:
    """The fields that a path variable goes through; it must be a single value of a primitive type (HttpRule)."""
    chain: list[DescField] = []
    inside: object = message
    for name in path:
        found = _field(inside, name) if isinstance(inside, DescMessage) else None
        if found is None:
            raise ValueError(f"the variable {'.'.join(path)} names no field")
        if not is_singular(found):
            raise ValueError(f"the variable {'.'.join(path)} goes through a repeated or map field")
        chain.append(found)
        inside = kind_of(found)
    if isinstance(inside, DescMessage):
        raise ValueError(f"the variable {'.'.join(path)} is a message")
    return chain


def _top_level(message: DescMessage, name: str, clause: str) -> DescField:
    found = _field(message, name)
    if found is None:
        raise ValueError(f"{clause} names {name!r}, which is no field of {message.type_name}")
    return found


def _field(message: DescMessage, name: str) -> DescField | None:
    return next((field for field in message.fields if field.name == name), None)
