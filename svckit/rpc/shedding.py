"""Refuses what would only wait: a server that is full says so at once, and when to come back."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from svckit.errors import ResourceExhausted

_RETRY_AFTER = timedelta(seconds=1)


class Shedding:
    """So many calls at once and no more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Take a place for one call; raises `ResourceExhausted` when there is none."""
        if self._running >= self._limit:
            raise ResourceExhausted("the server is busy", reason="OVERLOADED", retry_after=_RETRY_AFTER)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
