"""The spans of events on their way, by OpenTelemetry's conventions for messaging.

An event carries the place where it was made. One that is processed alone goes on in that trace; a batch is work for
many traces at once, so it has one of its own, with a link to each.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from nats.aio.msg import Msg

from svckit import telemetry
from svckit.events.envelope import TRACEPARENT, Event
from svckit.telemetry import Attributes, Kind, Span, TraceParent


def sending(events: Sequence[Event], *, outbox: str) -> AbstractContextManager[Span]:
    """The block hands these events of an outbox to the stream."""
    return telemetry.span(
        f"send {outbox}",
        kind=Kind.PRODUCER,
        attributes=_attributes("send", outbox, count=len(events)),
        links=_places(event.traceparent for event in events),
    )


def processing(event: Event, *, consumer: str) -> AbstractContextManager[Span]:
    """The block applies this event."""
    return telemetry.span(
        f"process {event.type}",
        parent=event.traceparent,
        kind=Kind.CONSUMER,
        attributes=_attributes("process", event.subject, consumer=consumer, id=event.id),
    )


def processing_batch(messages: Sequence[Msg], *, consumer: str) -> AbstractContextManager[Span]:
    """The block applies these messages together."""
    return telemetry.span(
        f"process {consumer}",
        kind=Kind.CONSUMER,
        attributes=_attributes("process", consumer, consumer=consumer, count=len(messages)),
        links=_places((message.headers or {}).get(TRACEPARENT, "") for message in messages),
    )


def _attributes(operation: str, destination: str, *, consumer: str = "", id: str = "", count: int = 0) -> Attributes:
    return {
        "messaging.system": "nats",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": destination,
        "messaging.consumer.group.name": consumer,
        "messaging.message.id": id,
        "messaging.batch.message_count": count or "",
    }


def _places(headers: Iterable[str]) -> list[TraceParent]:
    """Each place once; none where nobody records them."""
    if not telemetry.is_recording():
        return []
    return [place for header in dict.fromkeys(headers) if (place := telemetry.parse(header))]
