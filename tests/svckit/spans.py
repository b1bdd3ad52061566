"""The spans that a test has made, taken before they would leave the process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from svckit import tracing


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


@contextmanager
def recorded() -> Iterator[Spans]:
    """Record the block's spans."""
    spans = Spans()
    with tracing.recording("probe", SimpleSpanProcessor(spans.exporter)):
        yield spans


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def is_below(span: ReadableSpan, above: ReadableSpan) -> bool:
    """Whether one is the other's child, in the same trace."""
    parent, context = span.parent, above.context
    return parent is not None and context is not None and parent.span_id == context.span_id
