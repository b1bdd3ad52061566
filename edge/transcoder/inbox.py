"""Requests that wait until the service takes them: few, and of few bytes, whatever the client sends."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

_MOST_REQUESTS = 16
_MOST_BYTES = 256 * 1024


class Inbox:
    """A queue between one writer and one reader, which the writer can end."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._ended = False
        self._changed = asyncio.Condition()

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= _MOST_REQUESTS or self._bytes >= _MOST_BYTES

    async def put(self, request: bytes) -> None:
        """Add a request; it is the writer's part to wait for room first."""
        async with self._changed:
            self._waiting.append(request)
            self._bytes += len(request)
            self._changed.notify_all()

    async def end(self) -> None:
        """Let the reader come to an end behind what waits."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def room(self) -> None:
        """Wait until it is not full."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self.is_full)

    async def requests(self) -> AsyncGenerator[bytes, None]:
        """What has been put, to the end."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                request = self._waiting.popleft()
                self._bytes -= len(request)
                self._changed.notify_all()
            yield request
