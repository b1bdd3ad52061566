"""Reads what a process exports: OTLP, an `ExportTraceServiceRequest` in protobuf.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from edge.console.traces.store import Span
from edge.transcoder import Problem, Refused

CONTENT_TYPE = "application/x-protobuf"
ACCEPTED = ExportTraceServiceResponse().SerializeToString()

_KINDS: Mapping[int, str] = {
    number: name.removeprefix("SPAN_KIND_").lower() for name, number in trace_pb2.Span.SpanKind.items()
}


def spans_of(body: bytes) -> list[Span]:
    """The spans of an export; raises Refused for what is none."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise Refused(Problem(400, "invalid_body", f"The body is no ExportTraceServiceRequest: {error}.")) from None
    return list(_spans(request))


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = _attributes(resource.resource.attributes).get("service.name", "?")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _span(span, service)


def _span(span: trace_pb2.Span, service: str) -> Span:
    attributes = _attributes(span.attributes)
    failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    return Span(
        trace_id=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=_KINDS.get(span.kind, ""),
        service=service,
        began=span.start_time_unix_nano,
        ended=max(span.end_time_unix_nano, span.start_time_unix_nano),
        error=(attributes.get("error.type") or span.status.message or "error") if failed else "",
        attributes=attributes,
        links=tuple({link.trace_id.hex() for link in span.links}),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, str]:
    return {pair.key: _text(pair.value) for pair in pairs}


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return ", ".join(_text(each) for each in value.array_value.values)
    return "" if kind is None else str(getattr(value, kind))
