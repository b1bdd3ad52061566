"""Facts between services: CloudEvents 1.0 in binary mode over NATS JetStream, with protobuf payloads.

`envelope` is what an event is, `bus` the connection and its two streams, `consumer` how a service applies events with
an exactly-once effect. Services write events through `svckit.outbox`; nothing else publishes.
"""

from svckit.events.bus import DEAD_LETTERS, STREAM, Bus, connected, raise_if_cancelled
from svckit.events.consumer import consume
from svckit.events.envelope import BadEvent, Event, MalformedEvent, UnknownEvent, event, received, subject, unpack
from svckit.events.spans import processing_batch, sending

__all__ = [
    "DEAD_LETTERS",
    "STREAM",
    "BadEvent",
    "Bus",
    "Event",
    "MalformedEvent",
    "UnknownEvent",
    "connected",
    "consume",
    "event",
    "processing_batch",
    "raise_if_cancelled",
    "received",
    "sending",
    "subject",
    "unpack",
]
