"""The last traces, in memory: so many and no more, however many spans come in."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

REQUEST_ID = "chatmesh.request_id"

_MOST_TRACES = 500
_MOST_SPANS = 2000  # of one trace; later ones are dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span. Times are nanoseconds since 1970, ids hexadecimal; `error` is empty when nothing went wrong."""

    trace_id: str
    id: str
    parent_id: str
    name: str
    kind: str
    service: str
    began: int
    ended: int
    error: str
    attributes: Mapping[str, str]
    links: Sequence[str]
    """Ids of the traces that it goes on from."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans of one trace, never none."""

    id: str
    spans: Sequence[Span]

    @property
    def root(self) -> Span:
        """The span that no other is above, as far as they have come in; else the first."""
        known = {span.id for span in self.spans}
        return min(self.spans, key=lambda span: (span.parent_id in known, span.began))

    @property
    def began(self) -> int:
        return min(span.began for span in self.spans)

    @property
    def milliseconds(self) -> float:
        return (max(span.ended for span in self.spans) - self.began) / 1e6

    @property
    def services(self) -> list[str]:
        return sorted({span.service for span in self.spans})

    @property
    def failed(self) -> bool:
        return any(span.error for span in self.spans)

    @property
    def request_id(self) -> str:
        return next((span.attributes[REQUEST_ID] for span in self.spans if REQUEST_ID in span.attributes), "")

    def is_found_by(self, words: str) -> bool:
        """Whether somebody who looks for that means it: an id, or a part of a span's name."""
        wanted = words.lower()
        return (
            self.id.startswith(wanted)
            or any(span.attributes.get(REQUEST_ID, "").lower() == wanted for span in self.spans)
            or any(wanted in span.name.lower() for span in self.spans)
        )


class Traces:
    """Takes spans in any order; forgets the trace that nothing has come in for longest."""

    def __init__(self) -> None:
        self._spans: OrderedDict[str, list[Span]] = OrderedDict()

    def add(self, spans: Sequence[Span]) -> None:
        for span in spans:
            kept = self._spans.setdefault(span.trace_id, [])
            self._spans.move_to_end(span.trace_id)
            if len(kept) < _MOST_SPANS:
                kept.append(span)
        while len(self._spans) > _MOST_TRACES:
            self._spans.popitem(last=False)

    def newest(self) -> Iterator[Trace]:
        """All, the one that began last first."""
        found = [Trace(trace_id, tuple(spans)) for trace_id, spans in self._spans.items()]
        return iter(sorted(found, key=lambda trace: trace.began, reverse=True))

    def get(self, id: str) -> Trace | None:
        spans = self._spans.get(id)
        return Trace(id, tuple(spans)) if spans else None

    def following(self, id: str) -> list[Trace]:
        """The traces that go on from that one, oldest first: batches with an event of it."""
        return [trace for trace in self.newest() if any(id in span.links for span in trace.spans)][::-1]
