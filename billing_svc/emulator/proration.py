"""How much of a price falls to a part of its period: to the second, exactly, each amount rounded by itself.

https://docs.stripe.com/billing/subscriptions/prorations
"""

import math
from fractions import Fraction


def half_up(amount: Fraction) -> int:
    """The nearest whole amount of an amount that is not negative; a half goes up."""
    return math.floor(amount + Fraction(1, 2))


def share(amount: int, *, start: int, end: int, since: int) -> int:
    """What of the amount for start to end falls to the time from `since` on."""
    return half_up(Fraction(amount * (end - max(since, start)), end - start))
