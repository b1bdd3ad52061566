"""One streamed response: headers held back until there is something to say, one write per batch, pings while idle."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType

from aiohttp import web
from multidict import CIMultiDict

from edge.transcoder.framing import Framing

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
STREAM_HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx would hold the events back
}


class StreamWriter:
    """Writes messages in a framing; the response starts with the first write, or with the first ping."""

    def __init__(self, request: web.BaseRequest, framing: Framing, headers: Mapping[str, str] = NO_HEADERS) -> None:
        self._request = request
        self._framing = framing
        self._lock = asyncio.Lock()
        self._first = True
        self.response = web.StreamResponse(headers={**headers, "Content-Type": framing.content_type, **STREAM_HEADERS})

    @property
    def started(self) -> bool:
        return self.response.prepared

    def declare(self, status: int, headers: CIMultiDict[str]) -> None:
        """Take the status and headers that the service declared, unless the response has started without them."""
        if not self.started:
            self.response.set_status(status)
            self.response.headers.extend(headers)

    def declare_type(self, content_type: str) -> None:
        """Take the content type that the first message says."""
        self.response.headers["Content-Type"] = content_type

    async def messages(self, messages: Sequence[bytes]) -> None:
        await self._write(self._framing.frame(messages, first=self._first))
        self._first = False

    async def end(self) -> None:
        closing = self._framing.closing
        if self._first:
            closing = self._framing.opening + closing
        await self._write(closing)
        await self.response.write_eof()

    async def fail(self, document: bytes) -> None:
        """Say in the stream that it failed, or break it off where the format cannot say it."""
        if self._framing.error_before:
            await self._write(self._framing.error_before + document + self._framing.error_after)
            await self.response.write_eof()
        elif self._request.transport is not None:
            self._request.transport.close()

    @asynccontextmanager
    async def kept_alive(self, *, grace: float, heartbeat: float) -> AsyncIterator[None]:
        """While inside: start the response after `grace` seconds, and send a ping every `heartbeat` seconds."""
        if not self._framing.ping:
            yield
            return
        pings = asyncio.create_task(self._ping(grace, heartbeat))
        try:
            yield
        finally:
            pings.cancel()
            with suppress(asyncio.CancelledError):
                await pings

    async def _ping(self, grace: float, heartbeat: float) -> None:
        with suppress(ConnectionError):  # a client that went away cancels the handler itself
            await asyncio.sleep(grace)
            if not self.started:
                await self._write(self._framing.ping)
            while True:
                await asyncio.sleep(heartbeat)
                await self._write(self._framing.ping)

    async def _write(self, data: bytes) -> None:
        async with self._lock:
            if not self.response.prepared:
                await self.response.prepare(self._request)
            if data:
                await self.response.write(data)
