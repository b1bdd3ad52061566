"""Amounts of money: whole minor units of one currency."""

import math
from dataclasses import dataclass
from fractions import Fraction

# How many decimals the currencies have that do not have two, as Stripe counts them.
# https://docs.stripe.com/currencies#zero-decimal and #three-decimal
_EXPONENTS = {
    0: frozenset(
        {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
    ),
    3: frozenset({"bhd", "jod", "kwd", "omr", "tnd"}),
}


def step(currency: str) -> int:
    """What every charged amount is a multiple of: with three decimals, Stripe has the last one be 0."""
    return 10 if currency in _EXPONENTS[3] else 1


def half_up(amount: Fraction, currency: str) -> int:
    """The nearest amount that can be charged of one that is not negative; a half goes up."""
    unit = step(currency)
    return unit * math.floor(amount / unit + Fraction(1, 2))


@dataclass(frozen=True, slots=True)
class Money:
    """`minor` smallest units of a currency (ISO 4217, lower case). Only for people is it ever written with decimals."""

    minor: int
    currency: str

    def chargeable(self) -> "Money":
        """The nearest amount that can be charged; a half goes up."""
        return Money(half_up(Fraction(self.minor), self.currency), self.currency)

    def __str__(self) -> str:
        """For people and logs: `20.00 USD`, `3000 JPY`, `1.500 KWD`."""
        exponent = next((exponent for exponent, those in _EXPONENTS.items() if self.currency in those), 2)
        sign, digits = "-" * (self.minor < 0), f"{abs(self.minor):0{exponent + 1}}"
        whole, decimals = digits[: len(digits) - exponent], digits[len(digits) - exponent :]
        return f"{sign}{whole}{'.' * bool(exponent)}{decimals} {self.currency.upper()}"
