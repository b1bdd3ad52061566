"""HTTP bodies to and from message bytes: JSON, forms, or google.api.HttpBody as it is."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

from multidict import CIMultiDict
from protobuf import DescField, DescMessage
from python_multipart.multipart import parse_options_header

from edge.transcoder.fields import is_http_body, is_raw_body, kind_of
from edge.transcoder.forms import Form
from edge.transcoder.json_codec import JsonCodec
from edge.transcoder.problems import Problem, Refused
from edge.transcoder.wire import http_body, message_field

ReadBody = Callable[[bytes, str], bytes]

_JSON, _FORM, _ANYTHING = "application/json", "multipart/form-data", "*/*"
_UNLABELLED = ("", _JSON)
_UTF8 = frozenset({"", "utf-8", "utf8", "us-ascii"})
_NEVER_JSON = re.compile(r"(?:audio|font|image|multipart|video)/")


class Body(NamedTuple):
    """The body of an HTTP response."""

    content_type: str
    data: bytes


PrintBody = Callable[[bytes], Body]


@dataclass(frozen=True, slots=True)
class RequestBody:
    """How a route takes the bodies of its requests: `read` makes wire bytes of a body and its content type.

    `types` are the content types that it takes, as documentation should name them. In truth it is more liberal: what
    comes without a type or as text, or as the form that `curl -d` claims to send, is read as JSON too.
    """

    read: ReadBody
    types: tuple[str, ...]


def request_body(codec: JsonCodec, message: DescMessage, field: DescField | None, form: Form | None) -> RequestBody:
    """The reader of `message` (of its `field`, if given); an empty body is an empty message.

    A google.api.HttpBody takes anything as it is, the rest JSON; with a `form`, multipart/form-data too. A type that
    can only be something else than JSON, or another charset than UTF-8, is refused with 415. A `bytes` field takes no
    raw bytes as application/octet-stream: clients say that of all data whose type they were not told, JSON included.
    """
    is_raw = is_raw_body(message, field)
    types = (_ANYTHING if is_raw else _JSON, *((_FORM,) if form else ()))
    read = _http_body_reader(field) if is_raw else _json_reader(codec.reader(message, field=field), types)
    return RequestBody(_with_forms(read, form) if form else read, types)


def _json_reader(read_json: Callable[[bytes], bytes], types: tuple[str, ...]) -> ReadBody:
    """Reads JSON; `types` are what a refusal names."""

    def read(data: bytes, content_type: str) -> bytes:
        if not data:
            return b""
        if content_type not in _UNLABELLED:
            media, charset = media_of(content_type)
            if _NEVER_JSON.match(media) or charset not in _UTF8:
                raise _unsupported(types)
        return read_json(data)

    return read


def _with_forms(read_other: ReadBody, form: Form) -> ReadBody:
    def read(data: bytes, content_type: str) -> bytes:
        if content_type not in _UNLABELLED and media_of(content_type)[0] == _FORM:
            return form(data, content_type)
        return read_other(data, content_type)

    return read


def _unsupported(types: tuple[str, ...]) -> Refused:
    accepted = ", ".join(types)
    headers = CIMultiDict({"Accept": accepted})  # RFC 9110, section 15.5.16
    return Refused(Problem(415, "unsupported_media_type", f"This takes {accepted}, in UTF-8.", (), headers))


@lru_cache(maxsize=256)  # clients send few different headers
def media_of(content_type: str) -> tuple[str, str]:
    """The media type and the charset of a Content-Type, in lower case; empty if it says none."""
    media, parameters = parse_options_header(content_type.encode(errors="replace"))
    return media.decode("latin-1").strip(), parameters.get(b"charset", b"").decode("latin-1").lower()


def _http_body_reader(field: DescField | None) -> ReadBody:
    def read(data: bytes, content_type: str) -> bytes:
        body = http_body(content_type.encode(errors="replace"), data)
        return message_field(field, body) if field else body

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
        if not (body.content_type.isascii() and body.content_type.isprintable()):
            raise Refused(Problem(500, "internal", "The service sent a content type that is no header value."))
        return Body(body.content_type or "application/octet-stream", body.data)

    return print_body
