"""How many connections there may be, and a look at each of them every second or more often."""

import asyncio
from collections import Counter as Tally
from dataclasses import dataclass
from typing import Protocol

import prometheus_client

from edge.addresses import ClientAddresses, home, plain

_LONGEST_PERIOD = 1.0  # seconds between two looks
_OPEN = prometheus_client.Gauge("edge_connections", "Open connections.")
_ENDED = prometheus_client.Counter("edge_connections_ended_total", "Connections that the edge ended.", ("reason",))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What a connection may do.

    In seconds: `head` for the rest of a request's head after its first byte, `idle` between two requests, `stall` for a
    client to take a byte of what waits for it. `most` connections in all, `most_per_address` from one client.
    """

    head: float
    idle: float
    stall: float
    most: int
    most_per_address: int

    @property
    def period(self) -> float:
        """Seconds between two looks: no limit is kept later than by as much again."""
        return min(_LONGEST_PERIOD, self.head, self.stall)


class Watched(Protocol):
    """One connection."""

    def look(self, now: float) -> None:
        """End it if its client is too slow. `now` is the event loop's time."""


class Connections:
    """All open connections of one edge. Those of trusted proxies, who bring many clients, count only in all."""

    def __init__(self, limits: ConnectionLimits, addresses: ClientAddresses) -> None:
        self.limits = limits
        self._addresses = addresses
        self._homes: dict[Watched, str] = {}
        self._per_home: Tally[str] = Tally()

    def admit(self, connection: Watched, peer: str) -> bool:
        """Let a connection in, unless it is one too many; `peer` is its address, empty if it has none."""
        house = "" if self._addresses.trusts(peer) else home(plain(peer))
        if len(self._homes) >= self.limits.most:
            ended("too_many")
            return False
        if house and self._per_home[house] >= self.limits.most_per_address:
            ended("too_many_from_address")
            return False
        self._homes[connection] = house
        self._per_home[house] += 1
        _OPEN.inc()
        return True

    def forget(self, connection: Watched) -> None:
        """Take note that a connection is closed; one that was not let in does not matter."""
        house = self._homes.pop(connection, None)
        if house is None:
            return
        self._per_home[house] -= 1
        if not self._per_home[house]:
            del self._per_home[house]
        _OPEN.dec()

    async def run(self) -> None:
        """Look for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.period)
            for connection in list(self._homes):
                connection.look(loop.time())


def ended(reason: str) -> None:
    """Count a connection that the edge ended or did not let in."""
    _ENDED.labels(reason).inc()
