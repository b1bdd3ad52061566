"""What an RPC hears of its HTTP request's headers: metadata by an allow-list, and how long the client would wait."""

import re
from collections.abc import Iterable, Iterator

from aiohttp import web
from multidict import MultiMapping

from edge.transcoder.options import Call
from edge.transcoder.problems import FieldError, Problem, Refused
from edge.transcoder.upstream import Metadata
from edge.transcoder.wire import TextError, parse_bytes

HEADERS = ("traceparent", "tracestate", "X-Request-Id", "Idempotency-Key", "Last-Event-ID", "Accept-Language")
PREFIX = "Grpc-Metadata-"
MOST_BYTES = 6144  # a gRPC peer may drop a call from 8 kB of metadata on, and the application adds its own

# Of the connection or of the message, never of the request as such (RFC 9110, section 7.6.1), or of gRPC itself.
_NEVER = re.compile(
    r"connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|http2-settings|expect|host"
    r"|content-.*|sec-websocket-.*|grpc-.*"
)
# What says who somebody is counts only under its own name, where proxies see it.
_NOT_BY_PREFIX = re.compile(r"authorization|(?:set-)?cookie|forwarded|x-forwarded-.*|x-real-ip|user-agent")
_KEY = re.compile(r"[0-9a-z_.-]+")
_VISIBLE = re.compile(r"[\x20-\x7e]*")  # gRPC's ASCII-Value
_ENTRY_BYTES = 32  # what HTTP/2 counts for an entry besides its text (RFC 9113, section 6.5.2)

_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_SECONDS = re.compile(r"[0-9]{1,8}(?:\.[0-9]{1,9})?")
_LONGEST = 1e8  # seconds, about three years: gRPC counts nanoseconds in 64 bits from 1970 on


class Forwarding:
    """The allow-list of headers that become metadata, each under its own name in lower case.

    A value that gRPC could not carry is refused, never changed: another key would be another key. The values of a
    header whose name ends in `-bin` are base64, and reach the service as bytes.
    """

    def __init__(self, headers: Iterable[str] = HEADERS, *, prefix: str = "", most_bytes: int = MOST_BYTES) -> None:
        """A header that starts with `prefix`, such as PREFIX, is passed on as what follows it; "" switches this off.

        `most_bytes` is the limit of all that is passed on, as HTTP/2 counts it. Raises ValueError for a header that
        must not be passed on.
        """
        self._names = frozenset(name.lower() for name in headers)
        self._prefix = prefix.lower()
        self._most_bytes = most_bytes
        for name in self._names:
            if _NEVER.fullmatch(name) or not _KEY.fullmatch(name):
                raise ValueError(f"{name!r} is no header that can be passed on")

    def metadata(self, headers: MultiMapping[str]) -> Metadata:
        """The metadata that the headers are; raises Refused, which names the header."""
        found = [pair for name, value in self._allowed(headers) for pair in self._pairs(name, value)]
        if sum(len(key) + len(value) + _ENTRY_BYTES for key, value in found) > self._most_bytes:
            detail = f"The headers that are passed on to the service may have {self._most_bytes} bytes."
            raise Refused(Problem(431, "headers_too_large", detail))
        return found

    def _allowed(self, headers: MultiMapping[str]) -> Iterator[tuple[str, str]]:
        """The headers of the allow-list, but for those that are said to be of this connection only."""
        hops = {name.strip().lower() for line in headers.getall("Connection", ()) for name in line.split(",")}
        for name, value in headers.items():
            lower = name.lower()
            if lower not in hops and (lower in self._names or (self._prefix and lower.startswith(self._prefix))):
                yield name, value

    def _pairs(self, name: str, value: str) -> Iterator[tuple[str, str | bytes]]:
        key = name.lower()
        if key not in self._names:
            key = key[len(self._prefix) :]
            if not _KEY.fullmatch(key) or _NEVER.fullmatch(key) or _NOT_BY_PREFIX.fullmatch(key):
                raise _refused(name, "cannot be passed on as metadata")
        if not _VISIBLE.fullmatch(value):
            raise _refused(name, "must be visible ASCII characters")
        if not key.endswith("-bin"):
            yield key, value
            return
        for part in value.split(","):
            try:
                yield key, parse_bytes(part.strip())
            except TextError as error:
                raise _refused(name, str(error)) from None


def timeout_of(headers: MultiMapping[str], longest: float | None) -> float | None:
    """How many seconds the RPC may take: what the client would wait, at most `longest`, which also is the default.

    The client says so in `Grpc-Timeout` (as gRPC writes it, `1500m`) or `X-Request-Timeout` (seconds, `1.5`); of both
    the shorter counts. Raises Refused for one that cannot be read, and for a wait that is over already.
    """
    waits = [wait for wait in (_grpc_timeout(headers), _request_timeout(headers), longest) if wait is not None]
    if not waits:
        return None
    shortest = min(*waits, _LONGEST)
    if shortest == 0:
        raise Refused(Problem(504, "deadline_exceeded", "The time that the client would wait is over."))
    return shortest


def call_of(
    request: web.BaseRequest, forwarding: Forwarding, *, timeout: float | None = None, request_id: str = ""
) -> Call:
    """The call that a request's headers ask for; `timeout` is the longest, in seconds. Raises Refused."""
    return Call(
        metadata=forwarding.metadata(request.headers),
        timeout=timeout_of(request.headers, timeout),
        request_id=request_id,
    )


def _grpc_timeout(headers: MultiMapping[str]) -> float | None:
    value = _single(headers, "Grpc-Timeout")
    if value is None:
        return None
    found = _GRPC_TIMEOUT.fullmatch(value)
    if found is None:
        raise _refused("Grpc-Timeout", "must be up to 8 digits and one of H, M, S, m, u, n, such as 1500m")
    return int(found[1]) * _UNITS[found[2]]


def _request_timeout(headers: MultiMapping[str]) -> float | None:
    value = _single(headers, "X-Request-Timeout")
    if value is None:
        return None
    if not _SECONDS.fullmatch(value):
        raise _refused("X-Request-Timeout", "must be a number of seconds, such as 1.5")
    return float(value)


def _single(headers: MultiMapping[str], name: str) -> str | None:
    values = headers.getall(name, ())
    if len(values) > 1:
        raise _refused(name, "must be given once")
    return values[0] if values else None


def _refused(name: str, detail: str) -> Refused:
    return Refused(Problem(400, "invalid_header", f"{name}: {detail}.", [FieldError(name, detail, "invalid_header")]))
