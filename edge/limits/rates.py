"""The limits there are, and where a client stands in one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from chatmesh.access.v1 import access_pb2

MICROSECONDS = 1_000_000
PERIOD = 60 * MICROSECONDS


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a minute, at once or spread; each comes back after its share of the minute (GCRA).

    `name` is part of the keys in Redis and a label of the metrics.
    """

    name: str
    per_minute: int

    @property
    def interval(self) -> float:
        """Microseconds after which one more request is let in."""
        return PERIOD / self.per_minute


@dataclass(frozen=True, slots=True)
class Check:
    """One request of a client to be counted; with `take=False` it is only asked whether it would be let in."""

    rate: Rate
    client: str
    take: bool = True

    @property
    def key(self) -> str:
        return f"edge:rate:{self.rate.name}:{self.client}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a check went, in microseconds.

    `wait`: until a request is let in again, 0 if this one is. `debt`: until all that was used has come back.
    """

    rate: Rate
    wait: int
    debt: int

    @property
    def retry_after(self) -> int:
        """Seconds, at least 1 for one that was not let in."""
        return math.ceil(self.wait / MICROSECONDS)

    @property
    def headers(self) -> dict[str, str]:
        """What the answer tells the client of it; `RateLimit-Reset` in seconds."""
        remaining = int((PERIOD - self.debt) / self.rate.interval)
        return {
            "RateLimit-Limit": str(self.rate.per_minute),
            "RateLimit-Remaining": str(max(0, remaining)),
            "RateLimit-Reset": str(math.ceil(self.debt / MICROSECONDS)),
        }


class Rates:
    """The limits of an edge: those that the settings name, and those that need no choice."""

    def __init__(self, *, general: int, sign_in: int, mail: int) -> None:
        """Each in requests a minute."""
        self._of_class: Mapping[int, Rate] = {
            access_pb2.RATE_CLASS_UNSPECIFIED: Rate("general", general),
            access_pb2.RATE_CLASS_SIGN_IN: Rate("sign_in", sign_in),
            access_pb2.RATE_CLASS_MAIL: Rate("mail", mail),
            access_pb2.RATE_CLASS_DOCUMENT: Rate("document", 300),
        }
        # Credentials that turned out to be no good, by address.
        self.bad_credentials = Rate("bad_credentials", 30)
        # Stripe delivers in bursts, from few addresses; each delivery is signed.
        self.webhooks = Rate("webhooks", 6000)

    def of(self, rate_class: access_pb2.RateClass.ValueType) -> Rate:
        """The limit of a class; the general one for a class that this edge does not know yet."""
        return self._of_class.get(rate_class) or self._of_class[access_pb2.RATE_CLASS_UNSPECIFIED]
