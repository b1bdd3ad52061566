"""What the replicas tell one another at once: Redis pub/sub, one connection a replica however many listen."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Literal

import structlog
from redis.exceptions import RedisError

from svckit.errors import Unavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

_log = structlog.get_logger(__name__)

_PAUSE = 0.2  # seconds between two attempts to reach Redis again
_SILENCE = 5.0  # seconds after which a connection that says nothing is pinged, and then given up
# Always subscribed to, because a connection without any channel cannot be read.
_IDLE = "chat:idle"

LOOK = b""


@contextmanager
def redis_needed() -> Iterator[None]:
    """Tell the caller when Redis, which the block needs, is away."""
    try:
        yield
    except RedisError as error:
        raise Unavailable("live answers are not available, try again", reason="REDIS_UNAVAILABLE") from error


class Signals:
    """Channels, and who listens to them here. A signal may be lost: whoever needs it looks for itself now and then."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._listeners: defaultdict[str, set[asyncio.Queue[bytes]]] = defaultdict(set)
        self._pubsub: PubSub | None = None

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncIterator[asyncio.Queue[bytes]]:
        """What is said on `channel` from now on; LOOK when something may have been missed."""
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        listeners = self._listeners[channel]
        listeners.add(heard)
        try:
            if len(listeners) == 1:
                await self._tell("subscribe", channel)
            yield heard
        finally:
            listeners.discard(heard)
            if not listeners:
                self._listeners.pop(channel, None)
                await self._tell("unsubscribe", channel)

    async def say(self, channel: str, data: str) -> None:
        """Tell all who listen to `channel` now. Raises Unavailable."""
        with redis_needed():
            await self._redis.publish(channel, data)

    async def run(self) -> None:
        """Hear for ever; a lost connection is made again."""
        while True:
            try:
                await self._hear()
            except RedisError as error:
                _log.warning("signals are not heard", error=str(error))
            finally:
                self._pubsub = None
            await asyncio.sleep(_PAUSE)

    async def _tell(self, command: Literal["subscribe", "unsubscribe"], channel: str) -> None:
        """Change what the connection hears; without a connection, the next one begins with all that is wanted."""
        if self._pubsub is None:
            return
        try:
            await (self._pubsub.subscribe(channel) if command == "subscribe" else self._pubsub.unsubscribe(channel))
        except RedisError as error:
            _log.warning("signals are not heard", error=str(error))

    async def _hear(self) -> None:
        async with self._redis.pubsub() as pubsub:
            self._pubsub = pubsub
            await pubsub.subscribe(_IDLE, *self._listeners)
            pinged = False
            while True:
                message = await pubsub.get_message(timeout=_SILENCE)
                if message is None and pinged:
                    raise RedisError("no answer to a ping")
                pinged = message is None
                if message is None:
                    await pubsub.ping()
                elif message["type"] == "message":
                    self._pass_on(message["channel"], message["data"])
                elif message["type"] == "subscribe":
                    self._pass_on(message["channel"], LOOK)

    def _pass_on(self, channel: bytes, data: bytes) -> None:
        for heard in self._listeners.get(channel.decode(), ()):
            heard.put_nowait(data)
