"""What the replicas tell one another at once: Redis pub/sub, one connection a replica however many listen."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from svckit import redis_client
from svckit.errors import Unavailable
from svckit.ids import new_id

log = structlog.get_logger(__name__)

_PAUSE = 0.2  # seconds between two attempts to reach Redis again
LOOK = b""


@contextmanager
def redis_needed() -> Iterator[None]:
    """Tell the caller when Redis, which the block needs, is away."""
    try:
        yield
    except RedisError as error:
        raise Unavailable("live answers are not available, try again", reason="REDIS_UNAVAILABLE") from error


class Signals:
    """Channels, and who listens to them here. A signal may be lost: whoever needs it looks for itself now and then.

    The connection is used by `run` alone, since a connection is not made for two tasks at once. To change what it
    hears, the others write that down and wake it up by a channel of its own.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._wake = f"chat:wake:{new_id()}"
        self._listeners: dict[str, set[asyncio.Queue[bytes]]] = {}
        self._listeners_here: dict[str, set[asyncio.Queue[bytes]]] = {}
        self._changed: set[str] = set()

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncIterator[asyncio.Queue[bytes]]:
        """What is said on `channel` from now on; LOOK when something may have been missed."""
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        listeners = self._listeners.setdefault(channel, set())
        listeners.add(heard)
        try:
            if len(listeners) == 1:
                self._changed.add(channel)
                with suppress(Unavailable):  # the next connection begins with all that is wanted
                    await self.say(self._wake, "")
            yield heard
        finally:
            listeners.discard(heard)
            if not listeners:
                del self._listeners[channel]
                self._changed.add(channel)

    @asynccontextmanager
    async def listening_here(self, channel: str) -> AsyncIterator[asyncio.Queue[bytes]]:
        """What this replica itself says on `channel` from now on by `say_here`; none of that is lost."""
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        listeners = self._listeners_here.setdefault(channel, set())
        listeners.add(heard)
        try:
            yield heard
        finally:
            listeners.discard(heard)
            if not listeners:
                del self._listeners_here[channel]

    def say_here(self, channel: str, data: bytes) -> None:
        """Tell those who are `listening_here`."""
        for heard in self._listeners_here.get(channel, ()):
            heard.put_nowait(data)

    def is_heard_here(self, channel: str) -> bool:
        """Whether anybody is `listening_here`."""
        return channel in self._listeners_here

    async def say(self, channel: str, data: str) -> None:
        """Tell all who listen to `channel` now. Raises Unavailable."""
        with redis_needed():
            await self._redis.publish(channel, data)

    async def run(self) -> None:
        """Hear for ever; a lost connection is made again."""
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await self._hear(pubsub)
            except RedisError as error:
                log.warning("signals are not heard", error=str(error))
            await asyncio.sleep(_PAUSE)

    async def _hear(self, pubsub: PubSub) -> None:
        self._changed.clear()
        await pubsub.subscribe(self._wake, *self._listeners)
        while True:
            message = await redis_client.next_message(pubsub)
            if message["type"] == "message":
                self._pass_on(message["channel"], message["data"])
            elif message["type"] == "subscribe":
                self._pass_on(message["channel"], LOOK)
            if self._changed:
                await self._change(pubsub)

    async def _change(self, pubsub: PubSub) -> None:
        """Hear what is listened to by now, and only that."""
        changed, self._changed = self._changed, set()
        if wanted := changed & self._listeners.keys():
            await pubsub.subscribe(*wanted)
        if unwanted := changed - wanted:
            await pubsub.unsubscribe(*unwanted)

    def _pass_on(self, channel: bytes, data: bytes) -> None:
        for heard in self._listeners.get(channel.decode(), ()):
            heard.put_nowait(data)
