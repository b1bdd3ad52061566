"""The update mask of a PATCH that gives none: the fields that its body names (AIP-134)."""

from collections.abc import Callable, Collection, Iterator

from protobuf import DescField, DescMessage

from edge.transcoder.escapes import decode_form
from edge.transcoder.fields import by_name, is_plain_message, is_singular, kind_of
from edge.transcoder.guard import JsonValue
from edge.transcoder.json_codec import parse
from edge.transcoder.wire import length_delimited, message_field

_NAME = "update_mask"
_TYPE = "google.protobuf.FieldMask"
_PATHS = 1  # FieldMask.paths

# From a body and a raw query that have been read to the wire bytes of the mask; nothing if the query gives one.
Mask = Callable[[bytes, str], bytes]


def update_mask(message: DescMessage, body: DescField, bound: Collection[tuple[str, ...]]) -> Mask | None:
    """How the request `message` of a PATCH gets its mask; None if it has none, or if `body` holds no resource.

    A field is named if the body has it, null (which clears it) included. A message is named by those of its fields
    that the body has, an empty one as a whole, and so are lists, maps and well-known types. `bound` are the paths of
    fields that the path template binds: the body cannot change them, so they are not named. A body without any field
    makes an empty mask, which is not the same as none.
    """
    mask = next((field for field in message.fields if field.name == _NAME), None)
    resource = kind_of(body)
    if mask is None or not is_singular(mask) or getattr(kind_of(mask), "type_name", "") != _TYPE:
        return None
    if not isinstance(resource, DescMessage) or not is_plain_message(resource) or not is_singular(body):
        return None
    names = {mask.name, mask.json_name}
    elsewhere = frozenset(".".join(path[1:]) for path in bound if path[0] == body.name)
    fields = _Fields()

    def make(data: bytes, query: str) -> bytes:
        if any(decode_form(pair.partition("=")[0]) in names for pair in query.split("&")):
            return b""
        value = parse(data) if data else {}
        paths = [path for path in _paths(resource, value, fields) if path not in elsewhere]
        return message_field(mask, b"".join(length_delimited(_PATHS, path.encode()) for path in paths))

    return make


class _Fields(dict[DescMessage, dict[str, DescField]]):
    """The fields of message types by every name that JSON may use, looked up once."""

    def __missing__(self, message: DescMessage) -> dict[str, DescField]:
        found = self[message] = by_name(message)
        return found


def _paths(message: DescMessage, value: JsonValue, fields: _Fields, prefix: str = "") -> Iterator[str]:
    """The paths of a message's JSON, which the codec has read: what it does not know, it has been told to ignore."""
    for name, item in value.items() if isinstance(value, dict) else ():
        field = fields[message].get(name)
        if field is None:
            continue
        path, kind = prefix + field.name, kind_of(field)
        if item and is_singular(field) and isinstance(kind, DescMessage) and is_plain_message(kind):
            yield from _paths(kind, item, fields, f"{path}.")
        else:
            yield path
