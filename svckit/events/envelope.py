"""One event: its CloudEvents 1.0 attributes, its protobuf payload, and how both travel in a NATS message.

Binary mode of the CloudEvents NATS protocol binding: `ce-` headers, the payload as it is. `traceparent` is the
distributed tracing extension. `Nats-Msg-Id` is the event's id, so that the stream stores it once.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from chatmesh.events.v1 import events_pb2
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from nats.aio.msg import Msg

from svckit import telemetry
from svckit.ids import new_id

# NATS refuses more than 1 MiB, headers included.
MAX_DATA_BYTES = 1_000_000
MESSAGE_ID = "Nats-Msg-Id"
TRACEPARENT = "ce-traceparent"


class BadEvent(Exception):
    """An event that can never be applied. Raised while one is applied, it makes a dead letter of it at once."""


class MalformedEvent(BadEvent):
    """A message that lacks a CloudEvents attribute, or a payload that is not of the event's type."""


class UnknownEvent(BadEvent):
    """An event whose type chatmesh.events.v1 does not have."""


@dataclass(frozen=True, slots=True)
class Event:
    """A fact, ready to travel.

    `subject` is the NATS subject, `type` the payload's full protobuf name, `source` the service, `about` the user
    (CloudEvents calls that one `subject`), `time` when it became true.
    """

    id: str
    subject: str
    type: str
    source: str
    about: str
    time: datetime
    data: bytes
    traceparent: str = ""


def event(message: Message, *, source: str, about: str, time: datetime, id: str | None = None) -> Event:
    """The event of that fact, part of the trace of whatever is being done.

    Give an `id` that is made from the work when doing the work again must not be a second fact. Raises ValueError for
    a message without the subject option, a time without zone, and a payload of more than 1,000,000 bytes.
    """
    data = message.SerializeToString()
    if len(data) > MAX_DATA_BYTES:
        raise ValueError(f"{message.DESCRIPTOR.full_name}: at most {MAX_DATA_BYTES} bytes, not {len(data)}")
    if time.tzinfo is None:
        raise ValueError("time: must have a zone")
    return Event(
        id=id or new_id(),
        subject=subject(message),
        type=message.DESCRIPTOR.full_name,
        source=source,
        about=about,
        time=time,
        data=data,
        traceparent=telemetry.outgoing(),
    )


def subject(message: Message | type[Message]) -> str:
    """The NATS subject of a kind of fact, such as `ev.auth.user.registered`. Raises ValueError if it is not one."""
    found = message.DESCRIPTOR.GetOptions().Extensions[events_pb2.subject]
    if not found:
        raise ValueError(f"{message.DESCRIPTOR.full_name}: not an event, it has no subject option")
    return found


def unpack(event: Event) -> Message:
    """The event's payload. Raises UnknownEvent or MalformedEvent."""
    package, _, name = event.type.rpartition(".")
    descriptor = events_pb2.DESCRIPTOR.message_types_by_name.get(name)
    if descriptor is None or package != events_pb2.DESCRIPTOR.package:
        raise UnknownEvent(f"no such type: {event.type}")
    try:
        return GetMessageClass(descriptor).FromString(event.data)
    except DecodeError as error:
        raise MalformedEvent(f"not a {event.type}: {error}") from error


def headers(event: Event) -> dict[str, str]:
    """The NATS headers that the event travels with."""
    attributes = {
        MESSAGE_ID: event.id,
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-type": event.type,
        "ce-source": event.source,
        "ce-subject": event.about,
        "ce-time": event.time.astimezone(UTC).isoformat(),
        "content-type": "application/protobuf",
    }
    return attributes | ({TRACEPARENT: event.traceparent} if event.traceparent else {})


def received(message: Msg) -> Event:
    """The event that a NATS message carries. Raises MalformedEvent."""
    attributes = message.headers or {}
    try:
        return Event(
            id=attributes["ce-id"],
            subject=message.subject,
            type=attributes["ce-type"],
            source=attributes["ce-source"],
            about=attributes.get("ce-subject", ""),
            time=_moment(attributes["ce-time"]),
            data=message.data,
            traceparent=attributes.get(TRACEPARENT, ""),
        )
    except KeyError as missing:
        raise MalformedEvent(f"no header {missing}") from missing


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedEvent(f"ce-time: {error}") from error
    if moment.tzinfo is None:
        raise MalformedEvent("ce-time: must have a zone")
    return moment
