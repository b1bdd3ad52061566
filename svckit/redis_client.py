"""Redis: one client a process, whose calls fail rather than hang, and subscriptions that notice a lost connection."""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

_SECONDS = 2.0
_SILENCE = 5.0  # seconds after which a subscription that says nothing is pinged, and then given up


def connected(url: str) -> Redis:
    """A client for `async with`. Redis may be away when it is made; a call that hears nothing in two seconds raises."""
    return Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)


async def next_message(pubsub: PubSub) -> dict[str, Any]:
    """What comes in next on a subscription, every few seconds at least: the answer to a ping is a message, too.

    Raises RedisError when the connection is lost.
    """
    message: dict[str, Any] | None = await pubsub.get_message(timeout=_SILENCE)
    if message is None:
        await pubsub.ping()
        message = await pubsub.get_message(timeout=_SILENCE)
    if message is None:
        raise RedisError("no answer to a ping")
    return message
