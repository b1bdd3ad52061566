"""RPCs of invoices; each caller sees their own."""

from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc import store
from billing_svc.servicer.bridge import invoice_message
from svckit import identity, paging
from svckit.postgres import Database
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class InvoiceRpcs(BillingServiceServicer):
    """Serves invoices."""

    database: Database

    async def ListInvoices(self, request: pb.ListInvoicesRequest, context: Context) -> pb.ListInvoicesResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        async with self.database.transaction() as session:
            rows = await store.invoices_page(session, identity.user_id(), before=before, limit=size + 1)
        return pb.ListInvoicesResponse(
            invoices=[invoice_message(row) for row in rows[:size]],
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )
