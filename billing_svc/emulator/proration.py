"""How much of a price falls to a part of its period: to the second, exactly, each amount rounded by itself.

https://docs.stripe.com/billing/subscriptions/prorations
"""

from fractions import Fraction

from billing_svc.money import half_up


def share(amount: int, currency: str, *, start: int, end: int, since: int) -> int:
    """What of the amount for start to end falls to the time from `since` on."""
    return half_up(Fraction(amount * (end - max(since, start)), end - start), currency)
