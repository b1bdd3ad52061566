"""Payments at Stripe: charged, given back and followed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import stripe
from stripe import V1Services
from stripe.params import PaymentIntentCreateParams, RefundCreateParams

from billing_svc.driver.errors import translated
from billing_svc.money import Money
from svckit.errors import FailedPrecondition, InvalidArgument

_PAGE = 100
# Stripe takes these words for a reason, and no others.
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


@dataclass(frozen=True, slots=True)
class Charge:
    """What to charge once. `card` is Stripe's id of it, `description` for people."""

    amount: Money
    card: str
    description: str = ""


class Payments:
    """Stripe's payment intents and refunds."""

    def __init__(self, stripe: V1Services) -> None:
        self._stripe = stripe

    async def charge(self, customer: str, charge: Charge, *, payment_id: str, attempt: int) -> None:
        """Charge the card; our row's id goes along, so that the payment is found again.

        Raises Declined, after which Stripe has a payment that failed, and InvalidArgument for what the caller named and
        Stripe does not take: then nothing was made.
        """
        params: PaymentIntentCreateParams = {
            "customer": customer,
            "amount": charge.amount.minor,
            "currency": charge.amount.currency,
            "payment_method": charge.card,
            "allowed_payment_method_types": ["card"],
            "confirm": True,
            "metadata": {"payment_id": payment_id},
        }
        if charge.description:
            params["description"] = charge.description
        with translated(), _about_the_amount():
            await self._stripe.payment_intents.create_async(params, {"idempotency_key": f"pay:{payment_id}:{attempt}"})

    async def of_customer(self, customer: str) -> list[stripe.PaymentIntent]:
        """All that were ever tried, for invoices too, with their charges, oldest first."""
        with translated():
            found = await self._stripe.payment_intents.list_async(
                {"customer": customer, "limit": _PAGE, "expand": ["data.latest_charge"]}
            )
            return [each async for each in found.auto_paging_iter()][::-1]

    async def refund(self, intent: str, amount_minor: int, *, reason: str, refund_id: str, attempt: int) -> None:
        """Give that much of a payment back; our row's id goes along.

        Raises FailedPrecondition REFUND_REFUSED with Stripe's words: then nothing was made.
        """
        params: RefundCreateParams = {
            "payment_intent": intent,
            "amount": amount_minor,
            "metadata": {"refund_id": refund_id},
        }
        if reason in _REASONS:
            params["reason"] = reason
        with translated(), _refusing():
            await self._stripe.refunds.create_async(params, {"idempotency_key": f"refund:{refund_id}:{attempt}"})

    async def refunds_of(self, intent: str) -> list[stripe.Refund]:
        """All of a payment's refunds, oldest first."""
        with translated():
            found = await self._stripe.refunds.list_async({"payment_intent": intent, "limit": _PAGE})
            return [each async for each in found.auto_paging_iter()][::-1]


@contextmanager
def _about_the_amount() -> Iterator[None]:
    """Say it of the caller's field when Stripe does not take an amount or a currency."""
    try:
        yield
    except stripe.InvalidRequestError as error:
        if error.param not in ("amount", "currency"):
            raise
        message = error.user_message or "is not taken by the payment provider"
        raise InvalidArgument.of("amount", message, reason="AMOUNT_INVALID") from error


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except stripe.InvalidRequestError as error:
        message = error.user_message or "the payment provider does not give it back"
        raise FailedPrecondition(message, reason="REFUND_REFUSED") from error
