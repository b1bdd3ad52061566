"""What the native JSON codec lets through and ProtoJSON does not.

`protobuf-py` reads quoted numbers with Python's `int` (`1_000`, Arabic digits, `+1`), rounds 64-bit integers that are
written with a fraction, takes map keys out of range, `1.s` as a duration, empty names in a FieldMask, infinite numbers
in a Struct and two members of one oneof, and merges a field that is given under both its names. A guard looks only at
the fields where that can happen; a message type without such fields has none.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from protobuf import (
    DescEnum,
    DescExtension,
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescMessage,
    Registry,
    ScalarType,
)

from edge.transcoder.fields import extension_named, kind_of
from edge.transcoder.problems import FieldError
from edge.transcoder.wire import (
    INTEGERS,
    NOT_FINITE,
    NUMBER,
    TEXT_NEEDS,
    TEXT_TYPES,
    WRAPPERS,
    TextError,
    integer_rule,
    parse_integer,
)

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
Check = Callable[[JsonValue], None]

_EXACT = 2**53  # from here on a double no longer holds every integer
_WIDE = frozenset({ScalarType.INT64, ScalarType.SINT64, ScalarType.SFIXED64, ScalarType.UINT64, ScalarType.FIXED64})
_FREE_FORM = frozenset(f"google.protobuf.{name}" for name in ("Struct", "Value", "ListValue"))


class FieldValueError(ValueError):
    """A JSON value breaks ProtoJSON. The path grows as the error passes out of lists and objects."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self._path = ""

    def within(self, part: str) -> "FieldValueError":
        """The same error, seen from one level above; `part` is a field's name, or an index in brackets."""
        self._path = f"{part}.{self._path}" if self._path and self._path[0] != "[" else part + self._path
        return self

    @property
    def error(self) -> FieldError:
        return FieldError(self._path, str(self), "invalid_value")


class Guards:
    """The checks of message types, made once per type."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[str, Check | None] = {}

    def of(self, message: DescMessage) -> Check | None:
        """The check for a message's JSON, which raises FieldValueError; None where there is nothing to check."""
        name = message.type_name
        if name in self._made:
            return self._made[name]
        if name in WRAPPERS:
            self._made[name] = _value_check(message.fields[0])
        elif name in TEXT_NEEDS:
            self._made[name] = partial(_text, name)
        elif name == "google.protobuf.Any":
            self._made[name] = self._any
        elif name in _FREE_FORM:
            self._made[name] = _finite
        else:
            self._made[name] = self._message(message) if self._has_guarded(message, set()) else None
        return self._made[name]

    def _has_guarded(self, message: DescMessage, seen: set[str]) -> bool:
        """Whether a check is needed anywhere below; `seen` stops at recursive types."""
        if message.type_name in seen or message.type_name in TEXT_TYPES:
            return False
        seen.add(message.type_name)
        return bool(message.oneofs or message.proto.extension_range) or any(
            field.name != field.json_name
            or (isinstance(field.value, DescFieldValueMap) and field.value.key in INTEGERS)
            or (isinstance(kind := kind_of(field), DescEnum | ScalarType) and _kind_check(kind) is not None)
            or (isinstance(kind, DescMessage) and (_has_own_check(kind) or self._has_guarded(kind, seen)))
            for field in message.fields
        )

    def _message(self, message: DescMessage) -> Check:
        """The check of an ordinary message. Its table fills after it is registered, for types that hold themselves."""
        fields: list[tuple[str, str, Check]] = []
        spellings = {field.name: field.json_name for field in message.fields if field.name != field.json_name}
        oneofs = [
            (oneof.name, {name for f in oneof.fields for name in (f.name, f.json_name)}) for oneof in message.oneofs
        ]
        second_names = frozenset(spellings)
        extensible = bool(message.proto.extension_range)

        def check(value: JsonValue) -> None:
            if not isinstance(value, dict):
                return  # the codec refuses it
            if not second_names.isdisjoint(value):
                for name in second_names & value.keys():
                    if spellings[name] in value:
                        raise FieldValueError(f"is given a second time, as {spellings[name]}").within(name)
            for json_name, name, field_check in fields:
                item = value.get(json_name)
                if item is None and json_name != name:
                    json_name, item = name, value.get(name)
                if item is not None:
                    try:
                        field_check(item)
                    except FieldValueError as error:
                        raise error.within(json_name) from None
            if extensible:
                self._extensions(value)
            for oneof, members in oneofs:
                if not members.isdisjoint(value):
                    given = [name for name in value if name in members and value[name] is not None]
                    if len(given) > 1:
                        raise FieldValueError(f"only one field of {oneof} can be set").within(given[-1])

        self._made[message.type_name] = check
        for field in message.fields:
            field_check = self._field(field)
            if field_check is not None:
                fields.append((field.json_name, field.name, field_check))
        return check

    def _extensions(self, value: dict[str, JsonValue]) -> None:
        for name, item in value.items():
            extension = extension_named(name, self._registry)
            field_check = self._field(extension) if extension is not None else None
            if field_check is not None and item is not None:
                try:
                    field_check(item)
                except FieldValueError as error:
                    raise error.within(name) from None

    def _field(self, field: DescField | DescExtension) -> Check | None:
        kind = kind_of(field)
        one = self.of(kind) if isinstance(kind, DescMessage) else _kind_check(kind)
        match field.value:
            case DescFieldValueList():
                return None if one is None else _each(one)
            case DescFieldValueMap(key=key):
                return None if one is None and key is ScalarType.STRING else _entries(key, one)
        return one

    def _any(self, value: JsonValue) -> None:
        url = value.get("@type") if isinstance(value, dict) else None
        message = self._registry.message(url.rpartition("/")[2]) if isinstance(url, str) else None
        check = self.of(message) if message else None
        if check and isinstance(value, dict):
            special = message is not None and (_has_own_check(message) or message.type_name in TEXT_TYPES)
            check(value.get("value") if special else value)


def _has_own_check(message: DescMessage) -> bool:
    name = message.type_name
    return name in WRAPPERS or name in _FREE_FORM or name in TEXT_NEEDS or name == "google.protobuf.Any"


def _kind_check(kind: ScalarType | DescEnum) -> Check | None:
    if isinstance(kind, DescEnum):
        return _enum
    if kind in INTEGERS:
        return _integer(kind)
    return _float if kind in (ScalarType.FLOAT, ScalarType.DOUBLE) else None


def _value_check(field: DescField) -> Check | None:
    kind = kind_of(field)
    return None if isinstance(kind, DescMessage) else _kind_check(kind)


def _integer(scalar: ScalarType) -> Check:
    wide = scalar in _WIDE

    def check(value: JsonValue) -> None:
        if isinstance(value, str):
            try:
                exact = parse_integer(value, scalar)
            except TextError as error:
                raise FieldValueError(str(error)) from None
            if abs(exact) >= _EXACT and not value.lstrip("-").isdigit():
                raise FieldValueError("must be written as an integer, without fraction or exponent")
        elif wide and isinstance(value, float) and abs(value) >= _EXACT:
            raise FieldValueError("must be written as an integer, without fraction or exponent")

    return check


def _float(value: JsonValue) -> None:
    if isinstance(value, str) and value not in NOT_FINITE and not NUMBER.fullmatch(value):
        raise FieldValueError("must be a number, NaN, Infinity or -Infinity")


def _enum(value: JsonValue) -> None:
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        raise FieldValueError(integer_rule(ScalarType.INT32))


def _text(name: str, value: JsonValue) -> None:
    if isinstance(value, str) and not TEXT_NEEDS[name].fullmatch(value):
        raise FieldValueError(TEXT_TYPES[name])


def _finite(value: JsonValue) -> None:
    """A number in a Struct or Value: one beyond a double's range has become infinite in reading."""
    if isinstance(value, float) and not math.isfinite(value):
        raise FieldValueError("must be a number that a double can hold")
    if isinstance(value, list):
        _each(_finite)(value)
    elif isinstance(value, dict):
        _entries(ScalarType.STRING, _finite)(value)


def _each(check: Check) -> Check:
    def check_each(value: JsonValue) -> None:
        if isinstance(value, list):
            for index, item in enumerate(value):
                try:
                    check(item)
                except FieldValueError as error:
                    raise error.within(f"[{index}]") from None

    return check_each


def _entries(key: ScalarType, check: Check | None) -> Check:
    integers = key in INTEGERS

    def check_entries(value: JsonValue) -> None:
        if not isinstance(value, dict):
            return
        for name, item in value.items():
            try:
                if integers and not _is_key(name, key):
                    raise FieldValueError(f"the key {integer_rule(key)}")
                if check is not None:
                    check(item)
            except FieldValueError as error:
                raise error.within(f'["{name}"]') from None

    return check_entries


def _is_key(name: str, key: ScalarType) -> bool:
    digits = name.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20 and (digits == "0" or digits[0] != "0")):
        return False
    return int(name) in INTEGERS[key]
