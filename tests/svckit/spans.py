"""The spans that a test has made, taken before they would leave the process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from svckit import tracing

_own: ContextVar[object] = ContextVar("own", default=None)


class Spans:
    """All that have ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def all(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def of_kind(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.all() if span.kind is kind]


class _OnlyOwn(SimpleSpanProcessor):
    """Takes what the test and all that it has started does, and not what other services in the process do meanwhile."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(exporter)
        self._begun: set[int] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if _own.get() is self:
            self._begun.add(span.get_span_context().span_id)

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.span_id in self._begun:
            super().on_end(span)


@contextmanager
def recorded() -> Iterator[Spans]:
    """Record the block's spans."""
    spans = Spans()
    processor = _OnlyOwn(spans.exporter)
    with tracing.recording("probe", processor):
        token = _own.set(processor)
        try:
            yield spans
        finally:
            _own.reset(token)


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def is_below(span: ReadableSpan, above: ReadableSpan) -> bool:
    """Whether one is the other's child, in the same trace."""
    parent, context = span.parent, above.context
    return parent is not None and context is not None and parent.span_id == context.span_id
