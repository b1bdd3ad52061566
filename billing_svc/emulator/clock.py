"""What time it is for the emulator, and how long a month is."""

import calendar
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the emulator's time comes from; nothing in it reads another clock."""

    def now(self) -> int:
        """Unix seconds."""


class RealClock:
    """The machine's own time."""

    def now(self) -> int:
        return int(time.time())


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
