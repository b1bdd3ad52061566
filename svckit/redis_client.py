"""Redis: one client a process, whose calls fail rather than hang, and subscriptions that notice a lost connection.

Each call has its span and its measurement; of what it is about, only the command is said, never a key or a value.
"""

from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline, PubSub
from redis.exceptions import NoScriptError, RedisError

from svckit import db_calls

SYSTEM = "redis"

_SECONDS = 2.0
_SILENCE = 5.0  # seconds after which a subscription that says nothing is pinged, and then given up


def connected(url: str) -> Redis:
    """A client for `async with`. Redis may be away when it is made; a call that hears nothing in two seconds raises."""
    return _Observed.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)


class _Observed(Redis):
    """Asks once more where the connection was lost; subscriptions do not, so that who has one hears of it."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        # Of a script that Redis does not know yet, redis-py sends the text next: nothing has gone wrong.
        with db_calls.observed(SYSTEM, str(args[0]), expected=NoScriptError):
            try:
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
            except exceptions.ConnectionError:  # an idle connection that Redis has closed: it was started again
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _ObservedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _ObservedPipeline(Pipeline):
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        with db_calls.observed(SYSTEM, "MULTI" if self.is_transaction else "PIPELINE"):
            return await super().execute(raise_on_error)


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
