"""What proto2 calls required: looked for once a whole request is bound, wherever its parts came from.

A body alone cannot tell, as path and query may hold what it lacks; and gRPC servers answer INTERNAL to a message
without a required field, for which the client is to blame.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from protobuf import DescField, DescFieldValueList, DescFieldValueMap, DescMessage

from edge.transcoder.fields import kind_of
from edge.transcoder.problems import FieldError, Problem, Refused

Check = Callable[[bytes], None]


class Required:
    """The checks of message types."""

    def __init__(self, fields: Mapping[str, frozenset[str]]) -> None:
        """`fields` are the names of the required ones, by the full name of their message."""
        self._fields = fields

    def of(self, message: DescMessage) -> Check | None:
        """The check of a message's wire bytes, which raises Refused; None if nothing in it is required."""
        if not self._anywhere(message, set()):
            return None

        def check(data: bytes) -> None:
            missing = self._missing(message, message.type.from_binary(data), "")
            errors = [FieldError(path, "is required", "required") for path in missing]
            if errors:
                raise Refused(Problem(400, "invalid_argument", f"{errors[0].field}: is required.", errors))

        return check

    def _anywhere(self, message: DescMessage, seen: set[str]) -> bool:
        if not self._fields or message.type_name in seen:
            return False
        seen.add(message.type_name)
        kinds = (kind_of(field) for field in message.fields)
        return message.type_name in self._fields or any(
            isinstance(kind, DescMessage) and self._anywhere(kind, seen) for kind in kinds
        )

    def _missing(self, message: DescMessage, found: Any, path: str) -> Iterator[str]:
        """The JSON paths of the required fields that are not there."""
        names = self._fields.get(message.type_name, frozenset())
        for field in message.fields:
            if field not in found:
                if field.name in names:
                    yield path + field.json_name
                continue
            kind = kind_of(field)
            if isinstance(kind, DescMessage):
                for part, value in _values(field, found[field]):
                    yield from self._missing(kind, value, f"{path}{field.json_name}{part}.")


def _values(field: DescField, value: Any) -> Iterator[tuple[str, Any]]:
    """The messages in a field, each with the index or key behind the field's name."""
    match field.value:
        case DescFieldValueList():
            yield from ((f"[{index}]", item) for index, item in enumerate(value))
        case DescFieldValueMap():
            yield from ((f'["{key}"]', item) for key, item in value.items())
        case _:
            yield "", value
