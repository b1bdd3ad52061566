"""The limits as one process counts them by itself, in bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable

from edge.limits.rates import PERIOD, Check, Standing

_MOST_CLIENTS = 50_000


class LocalCounter:
    """Counts by the rule of the script in `shared`; a client is forgotten when 50,000 others came after it."""

    def __init__(self, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._used_until: OrderedDict[str, float] = OrderedDict()

    def check(self, check: Check) -> Standing:
        now = self._clock() / 1000
        used = max(self._used_until.get(check.key, now), now)
        after = used + check.rate.interval
        wait = after - now - PERIOD
        if wait > 0:
            return Standing(check.rate, int(wait), int(used - now))
        if not check.take:
            return Standing(check.rate, 0, int(used - now))
        self._keep(check.key, after)
        return Standing(check.rate, 0, int(after - now))

    def _keep(self, key: str, until: float) -> None:
        self._used_until[key] = until
        self._used_until.move_to_end(key)
        if len(self._used_until) > _MOST_CLIENTS:
            self._used_until.popitem(last=False)
