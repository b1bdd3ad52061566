"""What of an event becomes a row of the raw table: a column takes the payload's field of the same name."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from svckit.events import Event, MalformedEvent, unpack

# What DateTime columns can hold, less the nonsense: a view would file a time outside of them under another year.
_FIRST_YEAR, _LAST_YEAR = 2000, 2099


class EventRow(NamedTuple):
    """A row of `events`: its columns by name, and what they hold for events without such a field."""

    event_id: str
    type: str
    ts: datetime
    seq: int
    batch: str
    user_id: str = ""
    plan: str = ""
    conversation_id: str = ""
    provider: str = ""
    model: str = ""
    error_code: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micros: int = 0
    latency_ms: int = 0
    ttft_ms: int | None = None
    subscription_id: str = ""
    currency: str = ""
    amount_minor: int = 0
    tax_minor: int = 0
    mrr_before_minor: int = 0
    mrr_after_minor: int = 0
    plan_before: str = ""
    plan_after: str = ""
    status: str = ""
    reason: str = ""


def row(event: Event, *, seq: int, batch: str) -> EventRow:
    """The row of an event that is at `seq` in the stream, brought in by `batch`.

    Raises BadEvent for a payload that cannot be read and for a time that no calendar of this service has.
    """
    if not _FIRST_YEAR <= event.time.year <= _LAST_YEAR:
        raise MalformedEvent(f"ce-time: must be of the years {_FIRST_YEAR} to {_LAST_YEAR}, not {event.time.year}")
    fields = dict(_fields(unpack(event)))
    if "currency" in fields:
        fields["currency"] = fields["currency"].lower()
    # A change of plan counts for the plan that it leads to.
    fields.setdefault("plan", fields.get("plan_after", ""))
    return EventRow(event.id, event.subject.removeprefix("ev."), event.time, seq, batch, **fields)


def _fields(message: Message) -> Iterator[tuple[str, Any]]:
    """The fields that are set and have a column, those of nested messages included."""
    for field, value in message.ListFields():
        if isinstance(value, Message):
            yield from _fields(value)
        elif field.name in EventRow._field_defaults:
            yield field.name, _enum_text(field, value) if field.enum_type else value


def _enum_text(field: FieldDescriptor, number: int) -> str:
    """`SUBSCRIPTION_STATUS_PAST_DUE` is `past_due`; a number that this version does not know stays a number."""
    assert field.enum_type is not None
    value = field.enum_type.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return value.name.removeprefix(prefix).lower()
