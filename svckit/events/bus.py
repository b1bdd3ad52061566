"""The connection to NATS, kept for ever, and the two streams: the events, and the dead letters of their consumers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from svckit.errors import Unavailable
from svckit.events.envelope import MESSAGE_ID, Event, headers
from svckit.process import background

STREAM = "EVENTS"
DEAD_LETTERS = "DLQ"

log = structlog.get_logger(__name__)

_GIB = 1 << 30
_CONNECT_SECONDS = 5
_RETRY_SECONDS = 0.5
_LOOK_SECONDS = 1
_ACK_SECONDS = 5
_PING_SECONDS = 2
_REASON_CHARACTERS = 500


class _Connection:
    """One connection from its beginning to its end."""

    def __init__(self) -> None:
        self.client = Client()
        self.jetstream = self.client.jetstream()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._publishing: set[asyncio.Task[list[Exception | None]]] = set()

    async def open(self, url: str, name: str) -> None:
        """Connect once. The client's own reconnecting is off: some errors end it, and it sleeps 2 s between tries."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            await self.client.connect(
                url.split(","),
                name=name,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                ping_interval=20,
                closed_cb=self._closed,
                error_cb=_ignore,
            )

    async def publish_all(self, events: Sequence[Event]) -> list[Exception | None]:
        """Publish in order; for each event what went wrong, or None when the stream has stored it."""
        publishing = asyncio.create_task(_publish_each(self.jetstream, events))
        self._publishing.add(publishing)
        try:
            await asyncio.wait([publishing])
        finally:
            self._publishing.discard(publishing)
            publishing.cancel()
        return [nats.errors.ConnectionClosedError() for _ in events] if publishing.cancelled() else publishing.result()

    async def ended(self) -> None:
        """Wait until the connection has ended. Looks now and then: losing it while writing, the client tells nobody."""
        while not self.client.is_closed:
            await asyncio.wait([self._lost], timeout=_LOOK_SECONDS)

    async def close(self) -> None:
        """Give up what is being published, which the client would let wait for its time-out, and disconnect."""
        for publishing in self._publishing:
            publishing.cancel()
        await self.client.close()

    async def _closed(self) -> None:
        if not self._lost.done():
            self._lost.set_result(None)


class Bus:
    """The way to the streams. NATS may be away when a process starts, and go and come back at any time."""

    def __init__(self, url: str, *, name: str, streams: Sequence[StreamConfig]) -> None:
        self._url = url
        self._name = name
        self._streams = streams
        self._connection: _Connection | None = None
        self._up = asyncio.Event()

    async def keep_connected(self) -> None:
        """Connect, and again whenever the connection ends, for ever."""
        told = ""
        while True:
            try:
                await self._connect_once()
                told = ""
            except (OSError, nats.errors.Error) as error:
                problem = str(error) or type(error).__name__
                if problem != told:
                    log.warning("nats unavailable", error=problem)
                told = problem
            await asyncio.sleep(_RETRY_SECONDS)

    async def _connect_once(self) -> None:
        """Connect and stay until the connection ends."""
        connection = _Connection()
        try:
            await connection.open(self._url, self._name)
            await _make_missing(connection.jetstream, self._streams)
            self._connection = connection
            self._up.set()
            log.info("nats connected")
            await connection.ended()
            log.warning("nats connection lost")
        finally:
            self._up.clear()
            self._connection = None
            await connection.close()

    async def jetstream(self) -> JetStreamContext:
        """JetStream itself; waits while NATS is away. What is made with it ends with the connection."""
        while self._connection is None:
            await self._up.wait()
        return self._connection.jetstream

    async def ping(self) -> None:
        """Raise Unavailable unless NATS answers."""
        try:
            if self._connection is None:
                raise nats.errors.ConnectionClosedError
            await self._connection.client.flush(_PING_SECONDS)
        except nats.errors.Error as error:
            raise Unavailable("NATS is not available", reason="EVENTS_UNAVAILABLE") from error

    async def publish(self, event: Event) -> None:
        """Return once the stream has stored the event; raises Unavailable when it has not."""
        [failure] = await self.publish_all([event])
        if failure is not None:
            raise Unavailable(f"the event was not published: {failure}", reason="EVENTS_UNAVAILABLE") from failure

    async def publish_all(self, events: Sequence[Event]) -> list[Exception | None]:
        """Publish in order; for each event what went wrong, or None when the stream has stored it."""
        if self._connection is None:
            return [nats.errors.ConnectionClosedError() for _ in events]
        return await self._connection.publish_all(events)

    async def dead_letter(self, message: Msg, *, durable: str, reason: str) -> None:
        """Put a copy of the message, with the reason, where people look at what a consumer could not apply."""
        jetstream = await self.jetstream()
        position = message.metadata.sequence.stream
        # The server's own headers would be obeyed again: an expected stream, a deduplication id.
        own = {name: value for name, value in (message.headers or {}).items() if not name.startswith("Nats-")}
        marks = {
            MESSAGE_ID: f"{durable}:{position}",
            "dlq-reason": " ".join(reason.split())[:_REASON_CHARACTERS],
            "dlq-subject": message.subject,
            "dlq-sequence": str(position),
        }
        await jetstream.publish(f"dlq.{durable}", message.data, stream=DEAD_LETTERS, headers=own | marks)


@asynccontextmanager
async def connected(
    url: str, *, name: str = "chatmesh", replicas: int = 1, max_bytes: int = _GIB
) -> AsyncIterator[Bus]:
    """A bus on one or, with commas, several nats:// URLs. Does not wait for NATS.

    Streams that are missing are made with that many replicas, and refuse more than `max_bytes` each; those that are
    there stay as they are.
    """
    bus = Bus(url, name=name, streams=_stream_configs(replicas=replicas, max_bytes=max_bytes))
    async with background(bus.keep_connected):
        yield bus


def raise_if_cancelled() -> None:
    """Put right a cancellation that met a lost connection: the client makes a ConnectionClosedError of it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _stream_configs(*, replicas: int, max_bytes: int) -> list[StreamConfig]:
    def stream(name: str, subjects: str, kept: timedelta) -> StreamConfig:
        return StreamConfig(
            name=name,
            subjects=[subjects],
            storage=StorageType.FILE,
            retention=RetentionPolicy.LIMITS,
            # A full stream refuses what is new: the outbox keeps it. Dropping what is old would lose it.
            discard=DiscardPolicy.NEW,
            max_bytes=max_bytes,
            max_age=kept.total_seconds(),
            duplicate_window=timedelta(hours=2).total_seconds(),
            num_replicas=replicas,
        )

    return [stream(STREAM, "ev.>", timedelta(days=30)), stream(DEAD_LETTERS, "dlq.>", timedelta(days=90))]


async def _make_missing(jetstream: JetStreamContext, streams: Sequence[StreamConfig]) -> None:
    for config in streams:
        try:
            await jetstream.stream_info(config.name or "")
        except NotFoundError:
            await jetstream.add_stream(config)


async def _publish_each(jetstream: JetStreamContext, events: Sequence[Event]) -> list[Exception | None]:
    return await asyncio.gather(*(_publish(jetstream, event) for event in events))


async def _publish(jetstream: JetStreamContext, event: Event) -> Exception | None:
    """Publish one event; what went wrong, if anything did.

    Not by the client's `publish_async`, which is faster, but never hears of it when the stream refuses.
    """
    try:
        await jetstream.publish(event.subject, event.data, timeout=_ACK_SECONDS, stream=STREAM, headers=headers(event))
    except nats.errors.Error as error:
        return error
    return None


async def _ignore(error: Exception) -> None:
    """Errors are reported where they are met: by whoever waits for an answer, or when the connection ends."""
