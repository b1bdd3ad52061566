"""Does it answer yet? Each probe asks once and says yes or no; `Supervised` asks again."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

Probe = Callable[[], Awaitable[bool]]

_SECONDS = 2.0


def answers(url: str) -> Probe:
    """Make a probe of `http://host:port/path` (200 is yes) or `tcp://host:port` (accepting is yes)."""
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    assert host is not None, url
    assert port is not None, url

    async def http() -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session,
                session.get(url, allow_redirects=False) as response,
            ):
                return response.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def tcp() -> bool:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _SECONDS)
        except (TimeoutError, OSError):
            return False
        writer.close()
        return True

    return tcp if parts.scheme == "tcp" else http
