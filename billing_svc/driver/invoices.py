"""Invoices at Stripe: read, and followed."""

import aiohttp
import stripe
import structlog
from stripe import V1Services

from billing_svc.driver.errors import Unsure, translated

log = structlog.get_logger(__name__)

_PAGE = 100
# Far more than any invoice; a gRPC message holds 4 MiB.
_LARGEST_FILE = 3 << 20


class Invoices:
    """Stripe's invoices."""

    def __init__(self, stripe: V1Services, *, session: aiohttp.ClientSession) -> None:
        """`session`: what files are fetched with, which Stripe serves elsewhere than its API."""
        self._stripe = stripe
        self._session = session

    async def of_customer(self, customer: str) -> list[stripe.Invoice]:
        """All that the customer ever got, with their payments, oldest first."""
        with translated():
            found = await self._stripe.invoices.list_async(
                {"customer": customer, "limit": _PAGE, "expand": ["data.payments"]}
            )
            return [each async for each in found.auto_paging_iter()][::-1]

    async def lines(self, invoice: str) -> list[stripe.InvoiceLineItem]:
        """All lines of an invoice, in their order on it."""
        with translated():
            found = await self._stripe.invoices.line_items.list_async(invoice, {"limit": _PAGE})
            return [each async for each in found.auto_paging_iter()]

    async def pdf(self, invoice: str) -> bytes:
        """The invoice as a file; empty while it is a draft. Raises Unsure."""
        with translated():
            found = await self._stripe.invoices.retrieve_async(invoice)
        return await self._fetch(found.invoice_pdf) if found.invoice_pdf else b""

    async def _fetch(self, url: str) -> bytes:
        try:
            async with self._session.get(url) as response:
                response.raise_for_status()
                file = await response.content.read(_LARGEST_FILE + 1)
                while len(file) <= _LARGEST_FILE and (more := await response.content.read(_LARGEST_FILE)):
                    file += more
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("an invoice's file does not come", error=str(error) or type(error).__name__)
            raise Unsure from error
        if len(file) > _LARGEST_FILE or not file.startswith(b"%PDF-"):
            log.error("an invoice's file is no PDF, or too large", size=len(file))
            raise Unsure
        return file
