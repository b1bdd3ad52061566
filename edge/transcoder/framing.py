"""How a stream of JSON messages is written: Server-Sent Events, NDJSON, or one JSON array."""

from collections.abc import Sequence
from dataclasses import dataclass

JSON = "application/json"
EVENTS = "text/event-stream"
LINES = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Framing:
    """The bytes around the messages. `ping` keeps an idle stream alive, where the format has something to say it with.

    `error_before` and `error_after` stand around the problem document of a stream that fails on its way; without them
    the body is broken off, which chunked encoding makes visible to the client.
    """

    content_type: str
    opening: bytes = b""
    before: bytes = b""
    after: bytes = b""
    between: bytes = b""
    closing: bytes = b""
    ping: bytes = b""
    error_before: bytes = b""
    error_after: bytes = b""

    def frame(self, messages: Sequence[bytes], *, first: bool) -> bytes:
        """The messages as they go on the wire, in one piece."""
        joint = self.after + self.between + self.before
        return (self.opening if first else self.between) + self.before + joint.join(messages) + self.after


# The chunks of a google.api.HttpBody: nothing between them, and their type is known once the first has come.
RAW = Framing("application/octet-stream")


def framing(content_type: str, *, has_error_field: bool, numbered: bool = False) -> Framing:
    """The framing of a content type; each message and each problem is one line of JSON.

    Events that are `numbered` come with their lines made (edge.transcoder.event_ids).

    NDJSON ends a failed stream with `{"error": <problem>}`, which no message can be; for a message type that has a
    field named `error`, it is `{"@error": <problem>}`.
    """
    if content_type == EVENTS:
        return Framing(
            EVENTS,
            before=b"" if numbered else b"data: ",
            after=b"\n\n",
            ping=b": ping\n\n",
            error_before=b"event: error\ndata: ",
            error_after=b"\n\n",
        )
    if content_type == LINES:
        key = b"@error" if has_error_field else b"error"
        return Framing(LINES, after=b"\n", error_before=b'{"' + key + b'":', error_after=b"}\n")
    return Framing(JSON, opening=b"[", between=b",\n", closing=b"]\n")
