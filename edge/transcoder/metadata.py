"""What a service says about the HTTP response, in its gRPC metadata."""

from collections.abc import Mapping
from types import MappingProxyType

from multidict import CIMultiDict

from edge.transcoder.problems import Problem, Refused
from edge.transcoder.upstream import Metadata

STATUS_KEY = "x-http-status"
RESPONSE_HEADERS: Mapping[str, str] = MappingProxyType(
    {"location": "Location", "etag": "ETag", "set-cookie": "Set-Cookie"}
)


def headers_of(metadata: Metadata, allowed: Mapping[str, str]) -> CIMultiDict[str]:
    """The HTTP headers that the metadata declares: those whose key `allowed` maps to a header name."""
    headers: CIMultiDict[str] = CIMultiDict()
    for key, value in metadata:
        name = allowed.get(key)
        if name is None:
            continue
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if not text.isprintable():  # a line break would begin a header of the service's choosing
            raise Refused(Problem(500, "internal", f"The service sent a {name} that is no header value."))
        headers.add(name, text)
    return headers


def status_of(metadata: Metadata) -> int:
    """The success status that the service declared (2xx or 3xx), else 200."""
    for key, value in metadata:
        if key == STATUS_KEY:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            if len(text) == 3 and text.isascii() and text.isdigit() and text[0] in "23":
                return int(text)
            raise Refused(Problem(500, "internal", "The service sent a status that is none of 2xx and 3xx."))
    return 200
