"""Records spans with the OpenTelemetry SDK and sends them by OTLP. Imported only by a process that does.

The standard variables are the SDK's own to read: OTEL_EXPORTER_OTLP_ENDPOINT (…_HEADERS, …_TIMEOUT, …_COMPRESSION),
OTEL_TRACES_SAMPLER and …_ARG, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME, OTEL_BSP_… and the limits OTEL_SPAN_….
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter as exporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from svckit import telemetry
from svckit.ids import new_id
from svckit.telemetry import Attributes, Kind, Recording, TraceParent

ERROR_TYPE = "error.type"

_KINDS: Mapping[Kind, SpanKind] = {kind: SpanKind[kind.name] for kind in Kind}
_LAST_SPANS_SECONDS = 2.0
_MOST_LINKS = 128  # of one span; the SDK would keep the last ones, too


@contextmanager
def exporting(name: str) -> Iterator[None]:
    """Send the block's spans, as those of the service `name`, to where the environment says."""
    # Each further try would be a line of its own; what was given up still is one.
    logging.getLogger(exporter.__name__).setLevel(logging.ERROR)
    with recording(name, BatchSpanProcessor(exporter.OTLPSpanExporter())):
        yield


@contextmanager
def recording(name: str, processor: SpanProcessor) -> Iterator[None]:
    """Hand the block's spans to the processor, which is shut down at the end."""
    found = version("chatmesh")
    resource = Resource.create({"service.name": name, "service.version": found, "service.instance.id": new_id()})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    telemetry.record_with(_recorder(provider.get_tracer("chatmesh", found)))
    try:
        yield
    finally:
        telemetry.record_with(None)
        # A collector that is away would hold up a process that stops for as long as the exporter's own patience.
        stopping = Thread(target=provider.shutdown, daemon=True)
        stopping.start()
        stopping.join(_LAST_SPANS_SECONDS)


def _recorder(tracer: Tracer) -> telemetry.Recorder:
    def begin(
        name: str, kind: Kind, around: TraceParent | None, attributes: Attributes, links: Sequence[TraceParent]
    ) -> Recording:
        linked = [Link(_context(place)) for place in links[-_MOST_LINKS:]]
        return _Recorded(
            tracer.start_span(name, _within(around), kind=_KINDS[kind], attributes=_said(attributes), links=linked)
        )

    return begin


class _Recorded:
    """A span of the SDK as ours. Exceptions become one word: their messages may quote what must not leave."""

    __slots__ = ("_failed", "_span", "place")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._failed = False
        context = span.get_span_context()
        self.place = TraceParent(
            f"{context.trace_id:032x}", f"{context.span_id:016x}", sampled=context.trace_flags.sampled
        )

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(_said(attributes))

    def fail(self, error_type: str, *, ours: bool = True) -> None:
        if not self._failed:
            self._failed = True
            self._span.set_attribute(ERROR_TYPE, error_type)
            if ours:
                self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()


def _said(attributes: Attributes) -> Attributes:
    return {key: value for key, value in attributes.items() if value != ""}


def _within(place: TraceParent | None) -> Context:
    """The context of a child of that place; an empty one begins a trace."""
    return Context() if place is None else set_span_in_context(NonRecordingSpan(_context(place)), Context())


def _context(place: TraceParent) -> SpanContext:
    flags = TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT
    return SpanContext(int(place.trace_id, 16), int(place.span_id, 16), is_remote=True, trace_flags=TraceFlags(flags))
