"""RPCs of invoices; each caller sees their own."""

import re
from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer
from google.api.httpbody_pb2 import HttpBody

from billing_svc import store
from billing_svc.driver.connection import Driver
from billing_svc.models import Invoice
from billing_svc.servicer.bridge import invoice_message, line_message
from svckit import identity, paging
from svckit.errors import FailedPrecondition, NotFound
from svckit.postgres import Database
from svckit.rpc.call import Context

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(kw_only=True, eq=False)
class InvoiceRpcs(BillingServiceServicer):
    """Serves invoices."""

    database: Database
    driver: Driver

    async def GetInvoice(self, request: pb.GetInvoiceRequest, context: Context) -> pb.GetInvoiceResponse:
        row = await self._own(request.invoice_id)
        invoice = invoice_message(row)
        invoice.lines.extend(line_message(line) for line in await self.driver.invoices.lines(row.stripe_id))
        return pb.GetInvoiceResponse(invoice=invoice)

    async def GetInvoicePdf(self, request: pb.GetInvoicePdfRequest, context: Context) -> pb.GetInvoicePdfResponse:
        row = await self._own(request.invoice_id)
        if not (file := await self.driver.invoices.pdf(row.stripe_id)):
            raise FailedPrecondition("it is still a draft", reason="INVOICE_NOT_FINAL")
        name = _NOT_IN_A_NAME.sub("", row.number) or row.id
        await context.send_initial_metadata((("content-disposition", f'inline; filename="{name}.pdf"'),))
        return pb.GetInvoicePdfResponse(body=HttpBody(content_type="application/pdf", data=file))

    async def ListInvoices(self, request: pb.ListInvoicesRequest, context: Context) -> pb.ListInvoicesResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        async with self.database.transaction() as session:
            rows = await store.invoices_page(session, identity.user_id(), before=before, limit=size + 1)
        return pb.ListInvoicesResponse(
            invoices=[invoice_message(row) for row in rows[:size]],
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def _own(self, invoice_id: str) -> Invoice:
        async with self.database.transaction() as session:
            row = await store.find_invoice(session, invoice_id, user_id=identity.user_id())
        if row is None:
            raise NotFound("no such invoice")
        return row
