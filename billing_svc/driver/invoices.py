"""Invoices at Stripe: read, and followed."""

import stripe
from stripe import V1Services

from billing_svc.driver.errors import translated

_PAGE = 100


class Invoices:
    """Stripe's invoices."""

    def __init__(self, stripe: V1Services) -> None:
        self._stripe = stripe

    async def of_customer(self, customer: str) -> list[stripe.Invoice]:
        """All that the customer ever got, with their payments, oldest first."""
        with translated():
            found = await self._stripe.invoices.list_async(
                {"customer": customer, "limit": _PAGE, "expand": ["data.payments"]}
            )
            return [each async for each in found.auto_paging_iter()][::-1]
