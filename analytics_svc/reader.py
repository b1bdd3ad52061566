"""Reads the stream in its order from a place of our choice, leaving nothing out.

An ephemeral consumer of the server's brings the messages and is not asked where we are; numbers that do not follow one
another, or events that wait while none comes, end the reading, and it is begun anew from the position.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from svckit.events import STREAM

# How long one request waits for the first message.
_IDLE = timedelta(seconds=2)
# How long the server keeps a consumer that nobody reads: longer than an insert may take.
_FORGOTTEN_AFTER = timedelta(minutes=5)


class Interrupted(Exception):
    """Something may have been left out; read again from the position."""


class Reader:
    def __init__(self, subscription: JetStreamContext.PullSubscription) -> None:
        self._subscription = subscription
        self._delivered = 0
        self._left: list[Msg] = []

    async def batch(self, *, limit: int, linger: timedelta, idle: timedelta = _IDLE) -> list[Msg]:
        """At most `limit` messages: those that come within `linger` of the first; none when none comes for `idle`."""
        messages, self._left = self._left, []
        if not messages:
            messages = await self._fetch(limit, idle.total_seconds())
        if messages:
            loop = asyncio.get_running_loop()
            end = loop.time() + linger.total_seconds()
            while len(messages) < limit and (remaining := end - loop.time()) > 0:
                messages += await self._fetch(limit, remaining)
        else:
            await self._check_idle()
        self._left = messages[limit:]
        return messages[:limit]

    async def through(self, last: int) -> list[Msg]:
        """All messages up to number `last` that the stream still has."""
        messages: list[Msg] = []
        while not messages or place(messages[-1]) < last:
            more = await self._fetch(last, _IDLE.total_seconds())
            if not more:
                await self._check_idle()
                break
            messages += more
        return [message for message in messages if place(message) <= last]

    async def _fetch(self, limit: int, seconds: float) -> list[Msg]:
        """The next messages, maybe more than `limit`. The client says "none" in three ways."""
        try:
            messages = await self._subscription.fetch(limit, timeout=seconds)
        except TimeoutError:
            return []
        for message in messages:
            self._delivered += 1
            if message.metadata.sequence.consumer != self._delivered:
                raise Interrupted("a message got lost on its way")
        return messages

    async def _check_idle(self) -> None:
        """Seen in the field: messages wait and none is delivered (nats-server#5839)."""
        if (await self._subscription.consumer_info()).num_pending:
            raise Interrupted("messages wait and none comes")


@asynccontextmanager
async def reading(jetstream: JetStreamContext, *, start: int) -> AsyncIterator[Reader]:
    """Read from the message with that number, or from the next one that the stream still has."""
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=_FORGOTTEN_AFTER.total_seconds(),
        mem_storage=True,
        num_replicas=1,
    )
    subscription = await jetstream.pull_subscribe("", stream=STREAM, config=config)
    try:
        yield Reader(subscription)
    finally:
        with suppress(nats.errors.Error):
            await subscription.unsubscribe()


def place(message: Msg) -> int:
    """The message's number in the stream."""
    return message.metadata.sequence.stream
