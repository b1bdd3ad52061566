"""The test cards that Stripe calls magic: their ids stand for what their bank will say.

https://docs.stripe.com/testing#cards and #declined-payments.
"""

from dataclasses import dataclass
from typing import Literal

from billing_svc.emulator.refusals import Refused, declined


@dataclass(frozen=True, slots=True)
class Card:
    """What is printed on it, and when and why it is refused, if it is."""

    brand: str
    last4: str
    refused_at: Literal["never", "attach", "charge"] = "never"
    # Whether its bank wants to see the owner (3-D Secure) before each charge.
    challenged: bool = False
    code: str = "card_declined"
    decline_code: str = ""
    message: str = "Your card was declined."

    def refuse(self) -> Refused:
        return declined(self.code, self.decline_code, self.message)


CARDS = {
    "pm_card_visa": Card("visa", "4242"),
    "pm_card_mastercard": Card("mastercard", "4444"),
    "pm_card_amex": Card("amex", "8431"),
    "pm_card_chargeDeclined": Card("visa", "0002", "attach", decline_code="generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": Card(
        "visa", "9995", "attach", decline_code="insufficient_funds", message="Your card has insufficient funds."
    ),
    "pm_card_chargeDeclinedExpiredCard": Card(
        "visa", "0069", "attach", code="expired_card", decline_code="expired_card", message="Your card has expired."
    ),
    "pm_card_chargeCustomerFail": Card("visa", "0341", "charge", decline_code="generic_decline"),
    "pm_card_authenticationRequired": Card("visa", "3184", challenged=True),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": Card(
        "visa",
        "8260",
        "charge",
        decline_code="insufficient_funds",
        message="Your card has insufficient funds.",
        challenged=True,
    ),
}
CARDS_BY_LAST4 = {card.last4: card for card in CARDS.values()}
