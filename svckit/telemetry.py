"""Where a piece of work belongs: its trace (W3C Trace Context, level 1) and its request id.

Metrics are `prometheus_client` objects beside the code that counts; the admin port serves its default registry.
Spans are always there, so that log lines of one request can be found together; they are recorded only when somebody
wants to have them (`svckit.tracing` sets the recorder).
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Protocol, Self, TypeAlias

REQUEST_ID_KEY = "x-request-id"
TRACEPARENT_KEY = "traceparent"

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_SAMPLED = 0x01

Attributes: TypeAlias = Mapping[str, str | int | float | bool | Sequence[str]]
_NONE: Attributes = MappingProxyType({})

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


class Kind(Enum):
    """Which side of which conversation a span is."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Recording(Protocol):
    """A span that is recorded while its work is done. What it is given leaves the process: no secret, no content."""

    @property
    def place(self) -> TraceParent:
        """Its place, for what goes on from here."""

    def rename(self, name: str) -> None:
        """Call it otherwise, now that more is known."""

    def note(self, attributes: Attributes) -> None:
        """Add attributes, by the names of OpenTelemetry's semantic conventions; what is empty is left out."""

    def fail(self, error_type: str, *, ours: bool = True) -> None:
        """Say that it went wrong, and how in one word; `ours`: that it is an error of this side. The first counts."""

    def end(self) -> None:
        """The work is done."""


Recorder: TypeAlias = Callable[[str, Kind, TraceParent | None, Attributes, Sequence[TraceParent]], Recording]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work; without a recording, what is said of it goes nowhere."""

    place: TraceParent
    recording: Recording | None = None

    def rename(self, name: str) -> None:
        """See `Recording`."""
        if self.recording is not None:
            self.recording.rename(name)

    def note(self, attributes: Attributes) -> None:
        """See `Recording`."""
        if self.recording is not None:
            self.recording.note(attributes)

    def fail(self, error_type: str, *, ours: bool = True) -> None:
        """See `Recording`."""
        if self.recording is not None:
            self.recording.fail(error_type, ours=ours)


_current: ContextVar[Span | None] = ContextVar("trace", default=None)
_recorder: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """Have every span from now on recorded; None ends it. One recorder serves the whole process, as one log does."""
    global _recorder
    _recorder = recorder


def is_recording() -> bool:
    """Whether spans are recorded here at all."""
    return _recorder is not None


def current() -> TraceParent | None:
    """The place of the work being done, if it has one."""
    here = _current.get()
    return here.place if here else None


@contextmanager
def span(
    name: str,
    *,
    parent: str = "",
    kind: Kind = Kind.INTERNAL,
    attributes: Attributes = _NONE,
    links: Sequence[TraceParent] = (),
    recorded: bool = True,
) -> Iterator[Span]:
    """Do the block's work as one span: of the `parent` header's trace, else of the current one, else of a new one.

    `name` is the operation, such as `chatmesh.chat.v1.ChatService/SendMessage`; `links` are places that it goes on
    from beside its parent. What the block raises makes the span a failed one.
    """
    before = _current.get()
    around = parse(parent) or (before.place if before else None)
    if _recorder is not None and recorded:
        recording = _recorder(name, kind, around, attributes, links)
        inside = Span(recording.place, recording)
    else:
        inside = Span(around.child() if around else TraceParent.new())
    _current.set(inside)
    try:
        yield inside
    except BaseException as error:
        inside.fail(type(error).__qualname__, ours=isinstance(error, Exception))
        raise
    finally:
        if inside.recording is not None:
            inside.recording.end()
        # Not `reset(token)`: a generator that the event loop closes ends in another context than it began in.
        _current.set(before)


def begin(name: str, *, kind: Kind = Kind.CLIENT, attributes: Attributes = _NONE) -> Recording | None:
    """Begin a span below the current one, for its caller to end; None when that one is not recorded.

    For work whose end is told by a callback, and for calls that say something only as part of something larger.
    """
    around = _current.get()
    if around is None or around.recording is None or _recorder is None:
        return None
    return _recorder(name, kind, around.place, attributes, ())


def outgoing() -> str:
    """The `traceparent` header for a call or an event that leaves from here."""
    here = _current.get()
    if here is None:
        return str(TraceParent.new())
    return str(here.place if here.recording is not None else here.place.child())


def accept_request_id(offered: str) -> str:
    """The caller's request id if it is well formed (128 URL-safe characters at most), else a new one."""
    return offered if _REQUEST_ID.fullmatch(offered) else secrets.token_hex(16)
