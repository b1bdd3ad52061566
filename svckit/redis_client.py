"""Redis: one client a process, whose calls fail rather than hang."""

from redis.asyncio import Redis

_SECONDS = 2.0


def connected(url: str) -> Redis:
    """A client for `async with`. Redis may be away when it is made; a call that hears nothing in two seconds raises."""
    return Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
