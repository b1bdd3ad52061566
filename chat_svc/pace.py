"""How often the readers of an answer hear of its text: at once while there is time, less often the more there is to do.

What comes meanwhile waits and is told in one event, so that work grows with the events, not with the tokens.
"""

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

# Seconds between two events with text of one answer.
_SHORTEST = 0.015
_LONGEST = 0.5
_EVENTS = 1000  # a second, of all answers of a replica: about a third of a processor for it
_LAGS = 5  # an answer takes so many times as long as the event loop lags behind: of its time a sixth is lost at most
_MEMORY = 1.0  # seconds in which two thirds of a lag are forgotten

_INTERVAL = Gauge("chat_delta_interval_seconds", "Least time between two events with text of one answer, now.")


def interval(*, writing: int, lag: float) -> float:
    """Seconds from one event with text of an answer to the next.

    `writing` answers are written by this replica, and its event loop comes `lag` seconds late to what is due.
    """
    return min(max(_SHORTEST, writing / _EVENTS, lag * _LAGS), _LONGEST)


class Pace:
    """The pace of all answers that a replica writes. How late its event loop is shows in how late each rest ends."""

    def __init__(self) -> None:
        self._writing = 0
        self._lag = 0.0
        self._measured = time.monotonic()
        _INTERVAL.set_function(lambda: self.interval)

    @property
    def interval(self) -> float:
        """What `interval` says now."""
        return interval(writing=self._writing, lag=self._lag * self._kept(time.monotonic()))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Within the block one more answer is written."""
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1

    async def rest(self) -> None:
        """Wait as long as an answer must between two events with text."""
        due = time.monotonic() + (seconds := self.interval)
        await asyncio.sleep(seconds)
        now = time.monotonic()
        kept = self._kept(now)
        self._lag = self._lag * kept + (now - due) * (1 - kept)
        self._measured = now

    def _kept(self, now: float) -> float:
        """The part of the lag that still counts."""
        return math.exp((self._measured - now) / _MEMORY)
