"""Holds every request to the rules in its proto (buf.validate) before a handler sees it."""

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable

from google.protobuf.message import Message
from protovalidate import FieldPathElementPb, Validator, Violation

from svckit.errors import FieldViolation, InvalidArgument


class Validation:
    """Rules are compiled at the first message of each type and kept."""

    def __init__(self) -> None:
        self._validator = Validator()

    def checked(self, message: Message) -> Message:
        """The message, if it keeps its rules; raises `InvalidArgument` that names every field which does not."""
        if found := self._validator.collect_violations(message):
            violations = [_field_violation(violation) for violation in found]
            raise InvalidArgument("; ".join(map(_sentence, violations)), violations=violations)
        return message

    async def each(self, messages: AsyncIterable[Message]) -> AsyncIterator[Message]:
        """The same messages, each checked as it comes."""
        async for message in messages:
            yield self.checked(message)


def _sentence(violation: FieldViolation) -> str:
    return f"{violation.field}: {violation.description}" if violation.field else violation.description


def _field_violation(violation: Violation) -> FieldViolation:
    found = violation.proto
    return FieldViolation(_path(violation), _description(violation), found.rule_id or "")


def _description(violation: Violation) -> str:
    """What the value must be; in plain words where protovalidate's own are those of its rules."""
    found, rule = violation.proto, violation.rule_value
    if found.rule_id == "string.min_len" and rule == 1:
        return "must not be empty"
    if found.rule_id == "string.in" and isinstance(rule, Iterable):
        return f"must be one of {', '.join(str(value) for value in rule if value)}"
    return found.message or "is not valid"


def _path(violation: Violation) -> str:
    """The field's path in the proto's own spelling: `items[0].name`, `labels["a"]`."""
    field = violation.proto.field
    return ".".join(f"{step.field_name}{_subscript(step)}" for step in field.elements) if field else ""


def _subscript(step: FieldPathElementPb) -> str:
    return "" if step.subscript is None else f"[{json.dumps(step.subscript.value)}]"
