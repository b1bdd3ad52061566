"""Where a piece of work belongs: its trace (W3C Trace Context, level 1) and its request id.

Metrics are `prometheus_client` objects beside the code that counts; the admin port serves its default registry.
`span` and `outgoing` are the two places through which every piece of work passes, so a tracer can be put in here
without its callers noticing.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

REQUEST_ID_KEY = "x-request-id"
TRACEPARENT_KEY = "traceparent"

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_SAMPLED = 0x01

request_id: ContextVar[str] = ContextVar("request_id", default="")


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A place in a trace: what a `traceparent` header says."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @classmethod
    def new(cls) -> Self:
        """The first span of a new trace."""
        return cls(trace_id=secrets.token_hex(16), span_id=secrets.token_hex(8))

    def child(self) -> "TraceParent":
        """A new span of the same trace."""
        return TraceParent(self.trace_id, secrets.token_hex(8), self.sampled)

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"


def parse(header: str) -> TraceParent | None:
    """Read a `traceparent` header; None for one that the specification says to ignore.

    A version above 00 may carry more fields after the flags; version ff and all-zero ids are invalid.
    https://www.w3.org/TR/trace-context-1/#traceparent-header
    """
    match = _TRACEPARENT.fullmatch(header)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not (trace_id.strip("0") and span_id.strip("0")):
        return None
    return TraceParent(trace_id, span_id, sampled=bool(int(flags, 16) & _SAMPLED))


_current: ContextVar[TraceParent | None] = ContextVar("trace", default=None)


def current() -> TraceParent | None:
    """The span of the work being done, if it has one."""
    return _current.get()


@contextmanager
def span(name: str, *, parent: str = "") -> Iterator[TraceParent]:
    """Do the block's work as one span: of the `parent` header's trace, else of the current one, else of a new one.

    `name` is the operation, such as `chatmesh.chat.v1.ChatService/SendMessage`.
    """
    before = _current.get()
    around = parse(parent) or before
    inside = around.child() if around else TraceParent.new()
    _current.set(inside)
    try:
        yield inside
    finally:
        # Not `reset(token)`: a generator that the event loop closes ends in another context than it began in.
        _current.set(before)


def outgoing() -> str:
    """The `traceparent` header for a call or an event that leaves from here."""
    here = _current.get()
    return str(here.child() if here else TraceParent.new())


def accept_request_id(offered: str) -> str:
    """The caller's request id if it is well formed (128 URL-safe characters at most), else a new one."""
    return offered if _REQUEST_ID.fullmatch(offered) else secrets.token_hex(16)
