import uuid

import pytest

from svckit import telemetry
from svckit.ids import new_id
from svckit.telemetry import TraceParent

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE_ID}-{SPAN_ID}-01", True),
        (f"00-{TRACE_ID}-{SPAN_ID}-00", False),
        (f"00-{TRACE_ID}-{SPAN_ID}-ff", True),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01", True),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-will-be-like", True),
    ],
)
def test_a_traceparent_of_this_or_a_future_version_is_read(header: str, sampled: bool) -> None:
    assert telemetry.parse(header) == TraceParent(TRACE_ID, SPAN_ID, sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"00-{TRACE_ID}-{SPAN_ID}-01.",
        f"cc-{TRACE_ID}-{SPAN_ID}-01.more",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID[1:]}-{SPAN_ID}-01",
        f"0-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00-{TRACE_ID}-{SPAN_ID}-0g",
        f"00-{TRACE_ID}-{SPAN_ID}-01\n",
        f" 00-{TRACE_ID}-{SPAN_ID}-01",
    ],
)
def test_a_malformed_traceparent_is_ignored(header: str) -> None:
    assert telemetry.parse(header) is None


def test_what_is_written_is_version_00_and_can_be_read_again() -> None:
    trace = TraceParent.new()

    assert telemetry.parse(str(trace)) == trace
    assert str(TraceParent(TRACE_ID, SPAN_ID, sampled=False)) == f"00-{TRACE_ID}-{SPAN_ID}-00"


def test_a_span_goes_on_with_its_parents_trace_and_what_leaves_from_it_too() -> None:
    with telemetry.span("work", parent=f"00-{TRACE_ID}-{SPAN_ID}-00") as span:
        left = telemetry.parse(telemetry.outgoing())

    assert left is not None
    inside = span.place
    assert (inside.trace_id, inside.sampled) == (left.trace_id, left.sampled) == (TRACE_ID, False)
    assert len({SPAN_ID, inside.span_id, left.span_id}) == 3


def test_spans_nest_and_end() -> None:
    with telemetry.span("outer") as outer:
        with telemetry.span("inner") as inner:
            assert telemetry.current() == inner.place
        assert telemetry.current() == outer.place
    assert telemetry.current() is None

    assert inner.place.trace_id == outer.place.trace_id


def test_a_malformed_parent_begins_a_new_trace() -> None:
    with telemetry.span("work", parent="nonsense") as inside:
        assert inside.place.trace_id != "0" * 32


@pytest.mark.parametrize("offered", ["r-1", "a" * 128, "A.b_c~d-9"])
def test_a_well_formed_request_id_is_kept(offered: str) -> None:
    assert telemetry.accept_request_id(offered) == offered


@pytest.mark.parametrize("offered", ["", "a" * 129, "a b", "a\n", "é", 'a"b'])
def test_any_other_request_id_is_replaced(offered: str) -> None:
    assert telemetry.accept_request_id(offered) not in ("", offered)


def test_ids_are_version_7_and_sort_by_time() -> None:
    first = new_id()
    while (second := new_id())[:13] == first[:13]:
        continue

    assert uuid.UUID(first).version == 7
    assert uuid.UUID(first).variant == uuid.RFC_4122
    assert first < second
