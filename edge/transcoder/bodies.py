"""HTTP bodies to and from message bytes: JSON, or google.api.HttpBody as it is."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from protobuf import DescField, DescMessage

from edge.transcoder.fields import is_http_body, kind_of
from edge.transcoder.json_codec import JsonCodec
from edge.transcoder.problems import Problem, Refused
from edge.transcoder.wire import length_delimited

ReadBody = Callable[[bytes, str], bytes]


class Body(NamedTuple):
    """The body of an HTTP response."""

    content_type: str
    data: bytes


PrintBody = Callable[[bytes], Body]


def body_reader(codec: JsonCodec, message: DescMessage, field: DescField | None) -> ReadBody:
    """The function from a request's body and content type to wire bytes of `message` (of its `field`, if given).

    An empty body is an empty message.
    """
    if is_http_body(kind_of(field) if field else message):
        return _http_body_reader(field)
    read = codec.reader(message, field=field)
    return lambda data, _: read(data) if data else b""


def _http_body_reader(field: DescField | None) -> ReadBody:
    def read(data: bytes, content_type: str) -> bytes:
        body = length_delimited(1, content_type.encode(errors="replace")) if content_type else b""
        if data:
            body += length_delimited(2, data)
        return length_delimited(field.number, body) if field else body

    return read


def body_printer(codec: JsonCodec, message: DescMessage, field: DescField | None) -> PrintBody:
    """The function from a reply's wire bytes to a response body; raises what the codec raises."""
    if is_http_body(kind_of(field) if field else message):
        return _http_body_printer(message, field)
    print_json = codec.printer(message, field=field)
    return lambda data: Body("application/json", print_json(data))


def _http_body_printer(message: DescMessage, field: DescField | None) -> PrintBody:
    def print_body(data: bytes) -> Body:
        found = message.type.from_binary(data)
        body = cast(Any, found if field is None else getattr(found, field.local_name))
        if body is None:
            return Body("application/octet-stream", b"")
        if not body.content_type.isprintable():
            raise Refused(Problem(500, "internal", "The service sent a content type that is no header value."))
        return Body(body.content_type or "application/octet-stream", body.data)

    return print_body
