"""Server-sent events as providers send them, in whatever pieces they come."""

import pytest

from chat_svc.providers.sse import EventReader

STREAM = (
    b": a comment\r\n\r\nevent: x\r\ndata: one\r\n\r\n"
    b"data:two\n\ndata:  three\ndata: more\nid: 7\n\n\n\nretry: 1\n\ndata: \xc3\xa9\r\r\ndata: cut"
)
EVENTS = [b"one", b"two", b" three\nmore", "é".encode()]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_in_pieces_of_any_size(size: int) -> None:
    reader = EventReader()
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]

    found = [list(reader.feed(piece)) for piece in pieces]

    assert [data for events in found for data in events] == EVENTS


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 60_000, b"data: " + b"x" * 60_000 + b"\n"])
def test_an_event_that_never_ends_is_given_up(endless: bytes) -> None:
    reader = EventReader()

    with pytest.raises(ValueError, match="an event of more than"):
        _feed(reader, endless, times=100)


def _feed(reader: EventReader, received: bytes, *, times: int) -> None:
    for _ in range(times):
        assert not list(reader.feed(received))
