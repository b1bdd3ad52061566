"""The ids of server-sent events: a field of each message, from which a client may go on later (`Last-Event-ID`)."""

from collections.abc import Callable
from typing import Any

from protobuf import DescField, DescMessage, ScalarType

from edge.transcoder.fields import is_singular, kind_of
from edge.transcoder.json_codec import JsonCodec
from edge.transcoder.wire import INTEGERS

PrintEvent = Callable[[bytes], bytes]

_EXPLICIT = 1  # google.protobuf.FeatureSet.FieldPresence
_NO_ID = ("\n", "\r", "\0")  # https://html.spec.whatwg.org/multipage/server-sent-events.html


def event_printer(codec: JsonCodec, message: DescMessage, path: str) -> PrintEvent | None:
    """The function from wire bytes to an event's lines, `id: …` among them if the message has one.

    `path` names a field, such as `event.sequence`; None if the message has no such integer or string. A number without
    presence always is an id, 0 too. The function raises what the codec raises.
    """
    chain = _chain(message, path)
    if not chain:
        return None
    kind, text_of, id_of = message.type, codec.text_of(message), _reader(chain)

    def print_event(data: bytes) -> bytes:
        found = kind.from_binary(data)
        text, event_id = text_of(found), id_of(found)
        return b"data: " + text if event_id is None else b"id: " + event_id.encode() + b"\ndata: " + text

    return print_event


def _chain(message: DescMessage, path: str) -> list[DescField]:
    """The fields that the path names; none if it leads to no number or text."""
    chain: list[DescField] = []
    inside: object = message
    for name in path.split("."):
        fields = inside.fields if isinstance(inside, DescMessage) else ()
        found = next((field for field in fields if field.name == name), None)
        if found is None or not is_singular(found) or getattr(found.value, "oneof", None) is not None:
            return []
        chain.append(found)
        inside = kind_of(found)
    return chain if inside is ScalarType.STRING or inside in INTEGERS else []


def _reader(chain: list[DescField]) -> Callable[[Any], str | None]:
    """The function from a message to the text of its id."""
    *parents, leaf = (field.local_name for field in chain)
    optional = chain[-1].presence == _EXPLICIT
    is_text = kind_of(chain[-1]) is ScalarType.STRING

    def read(found: Any) -> str | None:
        for name in parents:
            found = getattr(found, name)
            if found is None:
                return None
        if optional and not found.has_field(chain[-1].name):
            return None
        text = str(getattr(found, leaf))
        return None if is_text and (not text or any(sign in text for sign in _NO_ID)) else text

    return read
