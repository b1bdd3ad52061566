"""What a service says about the HTTP response, in its gRPC metadata."""

import base64
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from multidict import CIMultiDict

from edge.transcoder.problems import Problem, Refused
from edge.transcoder.upstream import Metadata

STATUS_KEY = "x-http-status"
RESPONSE_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        name.lower(): name
        for name in (
            "Cache-Control",
            "Content-Disposition",
            "Content-Language",
            "Deprecation",
            "ETag",
            "Link",
            "Location",
            "Retry-After",
            "Set-Cookie",
            "Sunset",
        )
    }
)
# What may stand once only: two of them, one sent ahead and one behind, would contradict each other.
_SINGLE = frozenset(
    {"content-disposition", "deprecation", "etag", "expires", "last-modified", "location", "retry-after", "sunset"}
)
# What says how the message is framed, and what the transcoder knows better than the service.
_OWN = frozenset(
    {
        *("connection", "content-encoding", "content-length", "content-range", "content-type", "date", "keep-alive"),
        *("proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
# What tells of the content itself, and so not of an error's or of a 304. Not `Content-Security-Policy`, for one.
CONTENT_HEADERS = (
    *("Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Range"),
    "Content-Type",
)
_UNWRITABLE = frozenset({204, 205, 304})  # RFC 9110, section 6.4.1: these have no content

_CLIENT_ERROR = re.compile(r"4[0-9]{2}", re.ASCII)


def refuse_own(names: Iterable[str]) -> None:
    """Raise ValueError if a service could declare a header that is the transcoder's own business."""
    taken = sorted(name for name in names if name.lower() in _OWN)
    if taken:
        raise ValueError(f"a service cannot declare {', '.join(taken)}")


def headers_of(metadata: Metadata, allowed: Mapping[str, str]) -> CIMultiDict[str]:
    """The HTTP headers that the metadata declares: those whose key `allowed` maps to a header name.

    Of a header that may stand once only the last value counts; of the others every value, each once. The value of a
    `-bin` key is shown in base64.
    """
    headers: CIMultiDict[str] = CIMultiDict()
    for key, value in metadata:
        name = allowed.get(key)
        if name is None:
            continue
        text = _text(key, value)
        if not (text.isascii() and text.isprintable()):  # a line break would begin a header of the service's choosing
            raise Refused(Problem(500, "internal", f"The service sent a {name} that is no header value."))
        if name.lower() in _SINGLE:
            headers[name] = text
        elif text not in headers.getall(name, ()):
            headers.add(name, text)
    return headers


def error_headers_of(metadata: Metadata, allowed: Mapping[str, str]) -> CIMultiDict[str]:
    """The declared headers that suit an error: not those that tell of the content, or how long it is good for."""
    headers = headers_of(metadata, allowed)
    for name in (*CONTENT_HEADERS, "Cache-Control"):
        headers.popall(name, None)
    return headers


def stream_headers_of(metadata: Metadata, allowed: Mapping[str, str]) -> CIMultiDict[str]:
    """The declared headers that suit a stream, which no cache may hold."""
    headers = headers_of(metadata, allowed)
    headers.popall("Cache-Control", None)
    return headers


def status_of(metadata: Metadata, *, has_body: bool = False) -> int:
    """The success status that the service declared last (2xx or 3xx), else 200; `has_body` rules out those without."""
    status = 200
    for key, value in metadata:
        if key == STATUS_KEY:
            text = _text(key, value)
            if not (len(text) == 3 and text.isascii() and text.isdigit() and text[0] in "23"):
                raise Refused(Problem(500, "internal", "The service sent a status that is none of 2xx and 3xx."))
            status = int(text)
    if has_body and status in _UNWRITABLE:
        raise Refused(Problem(500, "internal", f"The service sent the status {status}, which has no content."))
    return status


def error_status_of(metadata: Metadata, status: int) -> int:
    """The status of an error: `status`, or the more exact one of 4xx that the service declared for a client's mistake.

    What it declared for a success counts for nothing then.
    """
    declared = [_text(key, value) for key, value in metadata if key == STATUS_KEY]
    exact = _CLIENT_ERROR.fullmatch(declared[-1]) if declared else None
    return int(exact[0]) if exact and 400 <= status < 500 else status


def _text(key: str, value: str | bytes) -> str:
    if isinstance(value, str):
        return value
    return base64.b64encode(value).decode() if key.endswith("-bin") else value.decode("latin-1")
