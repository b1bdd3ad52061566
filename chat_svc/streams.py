"""The live events of generations: a Redis stream each, which every replica can read from any point of it.

Entry `n+1-0` is the event of sequence n, so Redis itself keeps the order, and of two replicas that both believe they
write a generation only one can write each event. Readers hear of new events by pub/sub, or directly where they are
written, once they are in the stream; and they fill gaps from it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import structlog
from chatmesh.chat.v1.chat_pb2 import GenerationEvent
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chat_svc.appends import Appends, Written
from chat_svc.signals import LOOK, Signals, redis_needed
from svckit.errors import OutOfRange, Unavailable

log = structlog.get_logger(__name__)

FoundT = TypeVar("FoundT")

# How long the events are kept after the last one.
KEPT = timedelta(minutes=10)
_LOOK_AGAIN = 2.0  # seconds of silence after which a reader looks by itself: signals may be lost
# Seconds that Redis, or the database, may be away from a reader who has begun: longer than either takes to start again.
_AWAY = 30.0
_PAUSE = 0.2  # seconds between two attempts to reach them
_TERMINAL = frozenset({"message_end", "error"})


class Superseded(Exception):
    """Another replica has taken this generation over."""


def is_terminal(event: GenerationEvent) -> bool:
    """Whether it is the last one of its generation."""
    return event.WhichOneof("event") in _TERMINAL


class Streams:
    """All generations' streams. Everything here raises Unavailable while Redis is away."""

    def __init__(self, *, redis: Redis, signals: Signals) -> None:
        self._redis = redis
        self._signals = signals
        self._appends = Appends(redis, kept_seconds=int(KEPT.total_seconds()))

    async def append(self, generation_id: str, event: GenerationEvent) -> None:
        """Write the event under its sequence; again is the same as once. Raises Superseded."""
        key, data = _key(generation_id), event.SerializeToString()
        with redis_needed():
            written = await self._appends.append(key, f"{event.sequence + 1}-0", data)
            if written is Written.FAILED:
                raise RedisError("an event cannot be written")
        if written is Written.SUPERSEDED:
            self._signals.say_here(key, LOOK)
            raise Superseded(generation_id)
        self._signals.say_here(key, data)

    async def read(self, generation_id: str, *, after: int = -1) -> Sequence[GenerationEvent]:
        """The events after that sequence, oldest first; none when they are no longer kept."""
        with redis_needed():
            return _events(await self._redis.xrange(_key(generation_id), min=f"({after + 1}-0"))

    async def last(self, generation_id: str) -> GenerationEvent | None:
        """The newest event; None when they are no longer kept."""
        with redis_needed():
            newest = _events(await self._redis.xrevrange(_key(generation_id), count=1))
        return newest[0] if newest else None

    async def without_readers(self, generation_ids: Sequence[str]) -> Sequence[str]:
        """Those that nobody follows now, on any replica."""
        unheard = [id_ for id_ in generation_ids if not self._signals.is_heard_here(_key(id_))]
        if not unheard:
            return []
        with redis_needed():
            heard = await self._redis.pubsub_numsub(*map(_key, unheard))
        return [id_ for id_, (_, listeners) in zip(unheard, heard, strict=True) if not listeners]

    async def follow(
        self, generation_id: str, *, after: int, here: bool, is_over: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[GenerationEvent, None]:
        """The events after that sequence as they come, up to the terminal one.

        `here`: they are written by this very replica, and need no way through Redis to be heard of. `is_over` is asked
        after some seconds of silence: when it says yes, no more events will be written.
        Raises OutOfRange when the events are no longer kept, and Unavailable while Redis is away; not to a reader who
        has begun, unless Redis or the database stays away.
        """
        clock = asyncio.get_running_loop().time
        listening = self._signals.listening_here if here else self._signals.listening
        async with listening(_key(generation_id)) as heard:
            signal, over, until = LOOK, False, 0.0
            while True:
                news = partial(self._news, generation_id, signal, after=after)
                for event in await _patiently(news, until=until):
                    yield event
                    after = event.sequence
                    if is_terminal(event):
                        return
                until = clock() + _AWAY
                if over:
                    return
                try:
                    async with asyncio.timeout(_LOOK_AGAIN):
                        signal = await heard.get()
                except TimeoutError:
                    signal, over = LOOK, await _patiently(is_over, until=until)

    async def _news(self, generation_id: str, signal: bytes, *, after: int) -> Sequence[GenerationEvent]:
        """The event that was signalled if it is the next one, else all that the stream has."""
        if signal is not LOOK:
            event = GenerationEvent.FromString(signal)
            if event.sequence <= after + 1:
                return [event] if event.sequence == after + 1 else []
        events = await self.read(generation_id, after=after)
        if events and events[0].sequence != after + 1:
            raise expired()
        return events


class Narrator:
    """Writes the events of one generation in sequence: late rather than never when Redis is away."""

    def __init__(self, *, streams: Streams, generation_id: str) -> None:
        self._streams = streams
        self._generation_id = generation_id
        self._waiting: deque[GenerationEvent] = deque()
        self._next = 0

    async def tell(self, event: GenerationEvent) -> None:
        """Give the event its sequence and write it, after those that still wait. Raises Superseded."""
        event.sequence = self._next
        self._next += 1
        self._waiting.append(event)
        try:
            while self._waiting:
                await self._streams.append(self._generation_id, self._waiting[0])
                self._waiting.popleft()
        except Unavailable:
            log.warning("events wait for redis", generation=self._generation_id, waiting=len(self._waiting))


async def _patiently(look: Callable[[], Awaitable[FoundT]], *, until: float) -> FoundT:
    """What `look` finds; what it needs may be away until then, by the event loop's clock."""
    clock = asyncio.get_running_loop().time
    while True:
        try:
            return await look()
        except Unavailable:
            if clock() >= until:
                raise
        await asyncio.sleep(_PAUSE)


def expired() -> OutOfRange:
    """What a reader is told when there are no events to read any more."""
    return OutOfRange("the events are no longer kept: read the message instead", reason="STREAM_EXPIRED")


def _events(entries: Any) -> Sequence[GenerationEvent]:
    """What XRANGE answers; redis-py's types for it allow too much to be of use."""
    return [GenerationEvent.FromString(fields[b"event"]) for _, fields in entries]


def _key(generation_id: str) -> str:
    """The stream's key, and the channel on which its events are signalled."""
    return f"chat:gen:{generation_id}"
