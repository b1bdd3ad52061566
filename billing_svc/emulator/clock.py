"""What time it is for the emulator, and how long a month is."""

import calendar
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

_MONTHS = {"month": 1, "year": 12}


class Clock(Protocol):
    """Where the emulator's time comes from; nothing in it reads another clock."""

    def now(self) -> int:
        """Unix seconds."""


class RealClock:
    """The machine's own time."""

    def now(self) -> int:
        return int(time.time())


@dataclass(frozen=True, slots=True)
class StoppedClock:
    """A moment: that of a test clock, or the one at which something was due."""

    moment: int

    def now(self) -> int:
        return self.moment


def add_months(start: int, months: int) -> int:
    """The same day and time that many months later, or the month's last day if it has no such day.

    Stripe ends periods so: 31 January, 28 February, 31 March when counted from 31 January each time
    (https://docs.stripe.com/billing/subscriptions/billing-cycle).
    """
    moment = datetime.fromtimestamp(start, UTC)
    years, month = divmod(moment.month - 1 + months, 12)
    year, month = moment.year + years, month + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return int(moment.replace(year=year, month=month, day=day).timestamp())


def period_end(anchor: int, interval: str, *, after: int) -> int:
    """The first end of a period past that moment, when periods are counted from the anchor."""
    months = _MONTHS[interval]
    begun, now = datetime.fromtimestamp(anchor, UTC), datetime.fromtimestamp(after, UTC)
    passed = (now.year - begun.year) * 12 + now.month - begun.month
    count = max(passed // months, 0)
    while (end := add_months(anchor, count * months)) <= after:
        count += 1
    return end
