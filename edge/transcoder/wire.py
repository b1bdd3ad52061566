"""Text to protobuf wire format, for what a path or a query string says.

A value that arrives outside the body becomes bytes that are appended to the message: the wire format says that the
last value of a singular field wins and that parts of a message merge (protobuf.dev, "Last One Wins"), which is the
precedence of path over query over body, without building a message.
"""

import base64
import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal

from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescMessage,
    ScalarType,
)

from edge.transcoder.fields import kind_of

Encode = Callable[[str], bytes]

_VARINT, _FIXED64, _LENGTH, _GROUP, _GROUP_END, _FIXED32 = 0, 1, 2, 3, 4, 5
_INT32 = range(-(2**31), 2**31)
_UINT32 = range(2**32)
_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)
INTEGERS = {
    ScalarType.INT32: _INT32,
    ScalarType.SINT32: _INT32,
    ScalarType.SFIXED32: _INT32,
    ScalarType.UINT32: _UINT32,
    ScalarType.FIXED32: _UINT32,
    ScalarType.INT64: _INT64,
    ScalarType.SINT64: _INT64,
    ScalarType.SFIXED64: _INT64,
    ScalarType.UINT64: _UINT64,
    ScalarType.FIXED64: _UINT64,
}
_PACKED = {
    ScalarType.FIXED32: "<I",
    ScalarType.SFIXED32: "<i",
    ScalarType.FIXED64: "<Q",
    ScalarType.SFIXED64: "<q",
    ScalarType.FLOAT: "<f",
    ScalarType.DOUBLE: "<d",
}
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")  # RFC 8259, section 6
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
TEXT_TYPES = {
    "google.protobuf.Timestamp": "must be a time such as 2026-01-31T09:30:00Z (RFC 3339)",
    "google.protobuf.Duration": "must be seconds with an s, such as 1.5s",
    "google.protobuf.FieldMask": "must be field names in lowerCamelCase, separated by commas",
}
TEXT_NEEDS = {  # what the native codec lets through, and its own grammar does not
    "google.protobuf.Duration": re.compile(r".*[0-9]s", re.DOTALL),
    "google.protobuf.FieldMask": re.compile(r"(?:[^.,]+(?:[.,][^.,]+)*)?"),  # no name in it is empty
}
_STANDARD_ALPHABET = str.maketrans("-_", "+/")
_FLOAT_OVERFLOW = 2.0**128 - 2.0**103  # from here on a double rounds to infinity as a float


class TextError(ValueError):
    """The text is no value of the field's type; the message says what it must be."""


class UnknownName(TextError):
    """The text may be an enum value that another version of the enum has."""


def encoder(chain: Sequence[DescField]) -> Encode:
    """The function from text to the bytes of the field at the end of `chain`, nested in the messages before it.

    Raises ValueError for a field whose value no single text can be.
    """
    *parents, field = chain
    encode = _leaf(field)
    for parent in reversed(parents):
        encode = _in_message(parent, encode)
    return encode


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def varint(value: int) -> bytes:
    """An unsigned LEB128 number; a negative one is its 64-bit two's complement."""
    if 0 <= value < 128:
        return value.to_bytes(1, "little")
    value &= 2**64 - 1
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def length_delimited(number: int, data: bytes) -> bytes:
    """A string, bytes or message field."""
    return tag(number, _LENGTH) + varint(len(data)) + data


def is_group(field: DescField) -> bool:
    """Whether messages in the field stand between two tags, as a proto2 group: a length before them is not read."""
    value = field.value
    return isinstance(value, DescFieldValueMessage | DescFieldValueList) and value.delimited_encoding


def message_field(field: DescField, data: bytes) -> bytes:
    """A message in a field."""
    if is_group(field):
        return tag(field.number, _GROUP) + data + tag(field.number, _GROUP_END)
    return length_delimited(field.number, data)


def http_body(content_type: bytes, data: bytes) -> bytes:
    """A google.api.HttpBody; what is empty is not in it."""
    named = length_delimited(1, content_type) if content_type else b""
    return named + length_delimited(2, data) if data else named


def _in_message(field: DescField, encode: Encode) -> Encode:
    """Encode inside of the message in a field."""
    if is_group(field):
        return lambda text: message_field(field, encode(text))
    return _nested(tag(field.number, _LENGTH), encode)


def _nested(head: bytes, encode: Encode) -> Encode:
    def nested(text: str) -> bytes:
        data = encode(text)
        return head + varint(len(data)) + data

    return nested


def _leaf(field: DescField) -> Encode:
    kind = kind_of(field)
    if isinstance(field.value, DescFieldValueMap):
        raise ValueError("a map cannot be given as text")
    if isinstance(kind, DescEnum):
        return _enum(field.number, kind)
    if not isinstance(kind, DescMessage):
        return _scalar(field.number, kind)
    if kind.type_name in WRAPPERS:
        return _in_message(field, _leaf(kind.fields[0]))
    if kind.type_name in TEXT_TYPES:
        return _in_message(field, _well_known(kind))
    raise ValueError("a message cannot be given as text: name one of its fields")


def _well_known(message: DescMessage) -> Encode:
    """Timestamp, Duration and FieldMask: their JSON is a string, so the JSON codec reads the text."""

    def encode(text: str) -> bytes:
        needs = TEXT_NEEDS.get(message.type_name)
        try:
            if needs is None or needs.fullmatch(text):
                return message.type.from_json(json.dumps(text)).to_binary()
        except (ValueError, TypeError, OverflowError):
            pass
        raise TextError(TEXT_TYPES[message.type_name])

    return encode


def _enum(number: int, enum: DescEnum) -> Encode:
    head = tag(number, _VARINT)
    numbers = {value.name: value.number for value in enum.values}
    known = set(numbers.values())

    def encode(text: str) -> bytes:
        value = numbers.get(text)
        if value is None:
            value = _integer_or_none(text)
            if value is None or value not in _INT32:
                wrong = UnknownName if text.isidentifier() else TextError
                raise wrong(f"must be one of {', '.join(numbers)}")
            if not (enum.open or value in known):
                raise UnknownName(f"must be one of {', '.join(numbers)}")
        return head + varint(value)

    return encode


def _scalar(number: int, scalar: ScalarType) -> Encode:
    match scalar:
        case ScalarType.STRING:
            return _nested(tag(number, _LENGTH), str.encode)
        case ScalarType.BYTES:
            return _nested(tag(number, _LENGTH), parse_bytes)
        case ScalarType.BOOL:
            head = tag(number, _VARINT)
            return lambda text: head + (b"\1" if parse_bool(text) else b"\0")
        case ScalarType.FLOAT | ScalarType.DOUBLE:
            head = tag(number, _FIXED32 if scalar is ScalarType.FLOAT else _FIXED64)
            return lambda text: head + struct.pack(_PACKED[scalar], parse_float(text, scalar))
        case ScalarType.SINT32 | ScalarType.SINT64:
            head = tag(number, _VARINT)
            return lambda text: head + varint(_zigzag(parse_integer(text, scalar)))
        case ScalarType.FIXED32 | ScalarType.SFIXED32 | ScalarType.FIXED64 | ScalarType.SFIXED64:
            head = tag(number, _FIXED32 if _PACKED[scalar] in ("<I", "<i") else _FIXED64)
            return lambda text: head + struct.pack(_PACKED[scalar], parse_integer(text, scalar))
        case _:
            head = tag(number, _VARINT)
            return lambda text: head + varint(parse_integer(text, scalar))


def _zigzag(value: int) -> int:
    return value * 2 if value >= 0 else -value * 2 - 1


def parse_bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise TextError("must be true or false")
    return text == "true"


def parse_bytes(text: str) -> bytes:
    """Base64 in either alphabet, with or without padding."""
    plain = text.translate(_STANDARD_ALPHABET).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:  # binascii.Error, or text that is not ASCII
        raise TextError("must be base64") from None


def parse_integer(text: str, scalar: ScalarType) -> int:
    """A JSON number with an integral value (`1e5` is one) in the type's range."""
    value = _integer_or_none(text)
    if value is None or value not in INTEGERS[scalar]:
        raise TextError(integer_rule(scalar))
    return value


def integer_rule(scalar: ScalarType) -> str:
    allowed = INTEGERS[scalar]
    return f"must be an integer from {allowed[0]} to {allowed[-1]}"


def _integer_or_none(text: str) -> int | None:
    if not NUMBER.fullmatch(text) or len(text) > 400:
        return None
    value = Decimal(text)
    if value.adjusted() > 20 or value != value.to_integral_value():  # a huge exponent would be a huge int
        return None
    return int(value)


def parse_float(text: str, scalar: ScalarType) -> float:
    if text in NOT_FINITE:
        return float(text)
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value) or (scalar is ScalarType.FLOAT and abs(value) >= _FLOAT_OVERFLOW):
        raise TextError("must be a number, NaN, Infinity or -Infinity")
    return value
