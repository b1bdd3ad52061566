"""A trace as rows: each span below the one that it is part of, and below them all what went on elsewhere."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from edge.console.traces.store import Span, Trace

_MANY = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A span and where it stands: how deep, and in hundredths of the whole time. `linked`: it is of another trace."""

    span: Span
    depth: int
    left: float
    width: float
    linked: bool
    times: int = 1
    """So many spans, one after the other, that are all alike: the row stands for them."""

    @property
    def milliseconds(self) -> float:
        return (self.span.ended - self.span.began) / 1e6


def rows(trace: Trace, following: Sequence[Trace]) -> list[Row]:
    """The rows of the trace, then those of the batches that took its events further."""
    spans = [span for each in (trace, *following) for span in each.spans]
    began = min(span.began for span in spans)
    whole = max(max(span.ended for span in spans) - began, 1)
    return [
        Row(
            span,
            depth,
            left=100 * (span.began - began) / whole,
            width=100 * (span.ended - span.began) / whole,
            linked=each is not trace,
            times=times,
        )
        for each in (trace, *following)
        for span, depth, times in _folded(list(_in_order(each)))
    ]


def _folded(spans: Sequence[tuple[Span, int]]) -> Iterator[tuple[Span, int, int]]:
    """With how many spans each stands for: a streamed answer writes hundreds of times to Redis, all alike."""
    for (_, depth, _, _), group in groupby(spans, key=_likeness):
        alike = [span for span, _ in group]
        if len(alike) < _MANY:
            yield from ((span, depth, 1) for span in alike)
        else:
            yield replace(alike[0], ended=max(span.ended for span in alike)), depth, len(alike)


def _likeness(place: tuple[Span, int]) -> tuple[str, int, str, str]:
    span, depth = place
    return span.parent_id, depth, f"{span.service} {span.name}", span.error


def _in_order(trace: Trace) -> Iterator[tuple[Span, int]]:
    """Each span before those below it, what began first before the rest; without recursion, however deep they stand."""
    below: defaultdict[str, list[Span]] = defaultdict(list)
    known = {span.id for span in trace.spans}
    for span in sorted(trace.spans, key=lambda span: span.began, reverse=True):
        below[span.parent_id if span.parent_id in known and span.parent_id != span.id else ""].append(span)
    waiting = [(span, 0) for span in below.pop("", [])]
    while waiting:
        span, depth = waiting.pop()
        yield span, depth
        waiting += [(child, depth + 1) for child in below.pop(span.id, [])]
