"""How much of a price falls to a part of its period: to the second, exactly, each amount rounded by itself.

https://docs.stripe.com/billing/subscriptions/prorations
"""

import math
from fractions import Fraction

from billing_svc.money import step


def half_up(amount: Fraction, currency: str) -> int:
    """The nearest amount that can be charged of one that is not negative; a half goes up."""
    unit = step(currency)
    return unit * math.floor(amount / unit + Fraction(1, 2))


def share(amount: int, currency: str, *, start: int, end: int, since: int) -> int:
    """What of the amount for start to end falls to the time from `since` on."""
    return half_up(Fraction(amount * (end - max(since, start)), end - start), currency)
