"""Content negotiation by Accept (RFC 9110, section 12.5.1)."""

import pytest

from edge.transcoder.negotiation import preferred

OFFERS = ("application/json", "text/event-stream", "application/x-ndjson")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("TEXT/Event-Stream", "text/event-stream"),
        ("text/*", "text/event-stream"),
        ("text/event-stream, */*", "text/event-stream"),
        ("application/json, text/event-stream", "application/json"),
        ("application/json;q=0.5, text/event-stream", "text/event-stream"),
        ("application/json; q=0.5, text/event-stream; q=0.4", "application/json"),
        ("application/json;q=0, */*", "text/event-stream"),
        ("*/*;q=0.1, application/x-ndjson;q=0.2", "application/x-ndjson"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;charset=utf-8", "application/json"),
        ("application/*;q=0.9, text/event-stream;q=0.8", "application/json"),
        ("application/json;q=0", None),
        ("text/html", None),
        ("*/*;q=0", None),
        ("text/event-stream;q=high", None),
        ("text/event-stream;q=1.5", None),
        (",;,", None),
    ],
)
def test_the_best_offer_is_chosen(accept: str, chosen: str | None) -> None:
    assert preferred(accept, OFFERS) == chosen
