"""JSON to protobuf wire format and back: strict where ProtoJSON is, and fast."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import cast

import jiter
from protobuf import (
    DescEnum,
    DescExtension,
    DescField,
    DescFieldValueList,
    DescMessage,
    Message,
    Registry,
    ScalarType,
    message_from_json_value,
    message_to_json_value,
)

from edge.transcoder.fields import Kind, by_name, extension_named, is_plain_message, is_singular, kind_of
from edge.transcoder.guard import FieldValueError, Guards, JsonValue
from edge.transcoder.nulls import Nulls
from edge.transcoder.problems import FieldError, Problem, Refused
from edge.transcoder.wire import INTEGERS, TEXT_TYPES, WRAPPERS, integer_rule

# What the codec raises for a value that is none of the type's; RecursionError is its limit of 100 levels.
CODEC_ERRORS: tuple[type[Exception], ...] = (ValueError, TypeError, OverflowError, RecursionError)

_EXPLAINED_BYTES = 256 * 1024  # finding the field means reading the value again, once per level
_EXPLAINED_LEVELS = 16
_MOST_ERRORS = 20
_NOT_THIS_REQUEST = "A field of the body is unknown or has the wrong type; the body is too large to say which."


class JsonCodec:
    """Reads and prints the messages of one registry.

    `ignore_unknown` drops unknown fields and enum names instead of refusing them; `emit_defaults` prints fields
    without presence even if they hold their default value; in messages with the option `nulls`, unset fields are null.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        ignore_unknown: bool = False,
        emit_defaults: bool = False,
        nulls: str = "",
    ) -> None:
        self._registry = registry
        self._guards = Guards(registry)
        self._nulls = Nulls(registry, nulls)
        self._ignore_unknown = ignore_unknown
        self._emit_defaults = emit_defaults

    def reader(self, message: DescMessage, *, field: DescField | None = None) -> Callable[[bytes], bytes]:
        """The function from JSON text to the wire bytes of `message`, or of `message` with only `field` set."""
        kind, guard = message.type, self._guards.of(message)
        name, nullable = (field.json_name, not is_plain_message(kind_of(field))) if field else (None, False)
        ignore, registry = self._ignore_unknown, self._registry

        def read(text: bytes) -> bytes:
            value = parse(text)
            if name is not None:
                value = {name: value} if value is not None or nullable else value
            try:
                if guard is not None:
                    guard(value)
                found = message_from_json_value(kind, value, ignore_unknown_fields=ignore, registry=registry)
                return found.to_binary()
            except FieldValueError as error:
                raise _refused([error.error]) from None
            except CODEC_ERRORS as error:
                raise self._explained(message, value, len(text), error) from None

        return read

    def printer(self, message: DescMessage, *, field: DescField | None = None) -> Callable[[bytes], bytes]:
        """The function from wire bytes to JSON text: of the message, or of the bare value of one field.

        It raises one of CODEC_ERRORS for bytes that are no such message, or that JSON cannot say.
        """
        kind = message.type
        if field is None:
            text = self.text_of(message)
            return lambda data: text(kind.from_binary(data))
        value_of, name, unset = self._value_of(message), field.json_name, _unset(message, field)

        def print_field(data: bytes) -> bytes:
            members = cast(dict[str, JsonValue], value_of(kind.from_binary(data)))
            return _dumped(members.get(name, unset))

        return print_field

    def text_of(self, message: DescMessage) -> Callable[[Message], bytes]:
        """The function from a message of that type to its JSON text; raises as a printer does."""
        if self._nulls.of(message) is None:
            return self._text  # native: several times as fast
        value_of = self._value_of(message)
        return lambda found: _dumped(value_of(found))

    def _text(self, found: Message) -> bytes:
        return found.to_json(registry=self._registry, always_emit_implicit=self._emit_defaults).encode()

    def _value_of(self, message: DescMessage) -> Callable[[Message], JsonValue]:
        registry, defaults, fill = self._registry, self._emit_defaults, self._nulls.of(message)

        def value_of(found: Message) -> JsonValue:
            value = message_to_json_value(found, registry=registry, always_emit_implicit=defaults)
            if fill is not None:
                fill(value)
            return value

        return value_of

    def _explained(self, message: DescMessage, value: JsonValue, size: int, error: Exception) -> Refused:
        """The refusal with the fields named; the codec's own words name only some."""
        found = self._wrong(message, value, "", 0) if size <= _EXPLAINED_BYTES else ()
        errors = list(islice(found, _MOST_ERRORS))
        if not errors:
            detail = "The JSON is nested too deeply." if isinstance(error, RecursionError) else _NOT_THIS_REQUEST
            return Refused(Problem(400, "invalid_argument", detail))
        return _refused(errors)

    def _wrong(self, message: DescMessage, value: JsonValue, path: str, level: int) -> Iterator[FieldError]:
        """The fields of a value that the codec refused: each is tried alone, and those that fail are looked into."""
        if not isinstance(value, dict) or level > _EXPLAINED_LEVELS or message.type_name.startswith("google.protobuf."):
            yield FieldError(path or "body", _rule(message), "invalid_value")
            return
        fields = by_name(message)
        for name, item in value.items():
            place = f"{path}.{name}" if path else name
            field = fields.get(name) or extension_named(name, self._registry)
            if field is None:
                if not self._ignore_unknown:
                    yield FieldError(place, "there is no such field", "unknown_field")
            elif not self._reads(message, {name: item}):
                yield from self._inside(message, field, name, item, place, level)

    def _inside(
        self, message: DescMessage, field: DescField | DescExtension, name: str, item: JsonValue, place: str, level: int
    ) -> Iterator[FieldError]:
        kind = kind_of(field)
        parts = _parts(field, item, place)
        if parts is None:
            shape = "an array" if isinstance(field.value, DescFieldValueList) else "an object"
            yield FieldError(place, f"must be {shape}", "invalid_value")
            return
        for where, part, alone in parts:
            if self._reads(message, {name: alone}):
                continue
            if isinstance(kind, DescMessage) and part is not None:
                yield from self._wrong(kind, part, where, level + 1)
            else:
                yield FieldError(where, _rule(kind), "invalid_value")

    def _reads(self, message: DescMessage, value: JsonValue) -> bool:
        try:
            message_from_json_value(
                message.type, value, ignore_unknown_fields=self._ignore_unknown, registry=self._registry
            )
        except CODEC_ERRORS:
            return False
        return True


def parse(text: bytes) -> JsonValue:
    """Strict JSON (RFC 8259): no duplicate keys, NaN, lone surrogates, trailing text, nor 200 levels."""
    try:
        return cast(JsonValue, jiter.from_json(text, catch_duplicate_keys=True, allow_inf_nan=False))
    except ValueError as error:
        raise Refused(Problem(400, "malformed_json", f"The body is not valid JSON: {error}.")) from None


def _dumped(value: JsonValue) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _refused(errors: list[FieldError]) -> Refused:
    unknown = all(error.code == "unknown_field" for error in errors)
    detail = "; ".join(f"{error.field}: {error.detail}" for error in errors[:3])
    return Refused(Problem(400, "unknown_field" if unknown else "invalid_argument", f"{detail}.", errors))


def _parts(
    field: DescField | DescExtension, item: JsonValue, place: str
) -> list[tuple[str, JsonValue, JsonValue]] | None:
    """The values in a field's JSON, each with its path and the JSON of the field if it held nothing else.

    None if the JSON has not the shape of the field.
    """
    if is_singular(field):
        return [(place, item, item)]
    if isinstance(field.value, DescFieldValueList):
        if not isinstance(item, list):
            return None
        return [(f"{place}[{index}]", part, [part]) for index, part in enumerate(item)]
    if not isinstance(item, dict):
        return None
    return [(f'{place}["{key}"]', part, {key: part}) for key, part in item.items()]


def _rule(kind: Kind) -> str:
    """What a value of the kind must be, for the person who sent another."""
    if isinstance(kind, DescEnum):
        return f"must be one of {', '.join(value.name for value in kind.values)}"
    if isinstance(kind, ScalarType):
        return integer_rule(kind) if kind in INTEGERS else _SCALAR_RULES[kind]
    if kind.type_name in WRAPPERS:
        return _rule(kind_of(kind.fields[0]))
    return TEXT_TYPES.get(kind.type_name) or _MESSAGE_RULES.get(kind.type_name, "must be an object")


_SCALAR_RULES = {
    ScalarType.BOOL: "must be true or false",
    ScalarType.STRING: "must be a string",
    ScalarType.BYTES: "must be a base64 string",
    ScalarType.FLOAT: "must be a number, NaN, Infinity or -Infinity",
    ScalarType.DOUBLE: "must be a number, NaN, Infinity or -Infinity",
}
_MESSAGE_RULES = {
    "google.protobuf.Any": "must be an object whose @type names a known message, with that message's fields",
    "google.protobuf.ListValue": "must be an array",
    "google.protobuf.Value": "must be a JSON value that is not nested too deeply",
}


def _unset(message: DescMessage, field: DescField) -> JsonValue:
    """The bare value of a field that is not set: its default; of an ordinary message `{}`, of the rest null."""
    defaults = cast(dict[str, JsonValue], message_to_json_value(message.type(), always_emit_implicit=True))
    return defaults.get(field.json_name, {} if is_plain_message(kind_of(field)) else None)
