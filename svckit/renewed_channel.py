"""A channel that is made anew when the certificate it shows was replaced: gRPC reads those of a client only once."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import structlog

from svckit.tls import Tls

log = structlog.get_logger(__name__)

_LOOK_EVERY = timedelta(seconds=5)
# The calls of a channel that was replaced may go on for so long; its certificate is good for much longer.
_CALLS_SECONDS = 3600.0


class RenewedChannel(grpc.aio.Channel):
    """Stands for the newest of the channels that `make` gives; a call goes on in the one it began in."""

    def __init__(
        self,
        tls: Tls,
        make: Callable[[grpc.ChannelCredentials], grpc.aio.Channel],
        *,
        look_every: timedelta = _LOOK_EVERY,
    ) -> None:
        self._tls = tls
        self._make = make
        self._stamp = tls.stamp()
        self._look_seconds = look_every.total_seconds()
        self._looked = time.monotonic()
        self._current = make(tls.of_channel())
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def current(self) -> grpc.aio.Channel:
        """The channel to begin a call in."""
        now = time.monotonic()
        if now - self._looked >= self._look_seconds:
            self._looked = now
            self._renew()
        return self._current

    def _renew(self) -> None:
        try:
            if (stamp := self._tls.stamp()) == self._stamp:
                return
            newer = self._make(self._tls.of_channel())
        except OSError as error:  # being replaced: the next look sees more
            log.warning("certificate unreadable", error=str(error))
            return
        leaving = asyncio.create_task(_close_later(self._current))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        self._current, self._stamp = newer, stamp

    async def __aenter__(self) -> "RenewedChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        leaving = list(self._leaving)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await self._current.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.current.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._current.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.current.channel_ready()

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return self._calling(lambda channel: channel.unary_unary(*arguments, **options))

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return self._calling(lambda channel: channel.unary_stream(*arguments, **options))

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return self._calling(lambda channel: channel.stream_unary(*arguments, **options))

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return self._calling(lambda channel: channel.stream_stream(*arguments, **options))

    def _calling(self, method_of: Callable[[grpc.aio.Channel], Any]) -> Callable[..., Any]:
        """What begins a call of one method, made once for each channel."""
        channel = self._current
        method = method_of(channel)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal channel, method
            if (current := self.current) is not channel:
                channel, method = current, method_of(current)
            return method(*arguments, **options)

        return call


async def _close_later(channel: grpc.aio.Channel) -> None:
    try:
        await asyncio.sleep(_CALLS_SECONDS)
    finally:
        await channel.close()
