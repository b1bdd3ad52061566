"""Null for unset fields, in the JSON of those messages that ask for it by an option."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from protobuf import DescField, DescFieldValueList, DescFieldValueMap, DescMessage, Registry

from edge.transcoder.fields import kind_of
from edge.transcoder.guard import JsonValue

Fill = Callable[[JsonValue], None]

_EXPLICIT = 1  # google.protobuf.FeatureSet.FieldPresence


class Nulls:
    """Makes the functions that put nulls in.

    `option` is the full name of the option of messages, a bool; empty: none has it. Raises ValueError if there is none
    of that name. What is packed in a google.protobuf.Any stays as it is.
    """

    def __init__(self, registry: Registry, option: str) -> None:
        self._option = registry.extension(option) if option else None
        if option and self._option is None:
            raise ValueError(f"there is no option {option}")
        self._made: dict[str, Fill] = {}

    def of(self, message: DescMessage) -> Fill | None:
        """The function that fills in the JSON of a message; None where no message below it has any use for it."""
        return self._fill(message) if self._option and any(map(self._asks, _below(message))) else None

    def has(self, field: DescField) -> bool:
        """Whether the field is null when it is unset; of fields that hold a message only if declared `optional`.

        Members of a oneof are not: that one of them is set says it of the others.
        """
        if not self._asks(field.parent) or field.presence != _EXPLICIT:
            return False
        if getattr(field.value, "oneof", None) is not None:
            return False
        return field.proto.proto3_optional or not isinstance(kind_of(field), DescMessage)

    def _asks(self, message: DescMessage) -> bool:
        options = message.proto.options
        if self._option is None or options is None or self._option.type not in options:
            return False
        return bool(cast(Any, options)[self._option.type])

    def _fill(self, message: DescMessage) -> Fill:
        if message.type_name in self._made:
            return self._made[message.type_name]
        unset = [field.json_name for field in message.fields if self.has(field)]
        inside: list[tuple[str, Fill]] = []

        def fill(value: JsonValue) -> None:
            members = cast("dict[str, JsonValue]", value)
            for name, fill_member in inside:
                if (member := members.get(name)) is not None:
                    fill_member(member)
            for name in unset:
                members.setdefault(name, None)

        self._made[message.type_name] = fill  # before its fields, of which one may hold the message itself
        inside += [
            (field.json_name, _of_shape(field, self._fill(kind)))
            for field in message.fields
            if isinstance(kind := kind_of(field), DescMessage) and self.of(kind) is not None
        ]
        return fill


def _of_shape(field: DescField, fill: Fill) -> Fill:
    match field.value:
        case DescFieldValueList():
            return lambda value: _each(fill, cast("list[JsonValue]", value))
        case DescFieldValueMap():
            return lambda value: _each(fill, cast("Mapping[str, JsonValue]", value).values())
    return fill


def _each(fill: Fill, values: Collection[JsonValue]) -> None:
    for value in values:
        fill(value)


def _below(message: DescMessage) -> Collection[DescMessage]:
    """A message and all that it holds, but for types whose JSON is not that of their fields."""
    found: dict[str, DescMessage] = {}
    left = [message]
    while left:
        one = left.pop()
        if one.type_name not in found and not one.type_name.startswith("google.protobuf."):
            found[one.type_name] = one
            left += [kind for field in one.fields if isinstance(kind := kind_of(field), DescMessage)]
    return found.values()
