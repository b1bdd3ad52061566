"""RPCs of Stripe's webhooks: the edge brings them, administrators look after them."""

from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc import event_store
from billing_svc.models import StripeEvent
from billing_svc.servicer.moments import place_of, token_of
from billing_svc.servicer.texts import refuse_nul
from billing_svc.webhooks import Webhooks
from svckit import paging
from svckit.postgres import Database
from svckit.rpc.call import Context
from svckit.timestamps import timestamp


@dataclass(kw_only=True, eq=False)
class StripeEventRpcs(BillingServiceServicer):
    """Serves webhooks."""

    database: Database
    webhooks: Webhooks

    async def ReceiveStripeEvent(
        self, request: pb.ReceiveStripeEventRequest, context: Context
    ) -> pb.ReceiveStripeEventResponse:
        await self.webhooks.receive(request.payload, request.signature)
        return pb.ReceiveStripeEventResponse()

    async def ListStripeEvents(
        self, request: pb.ListStripeEventsRequest, context: Context
    ) -> pb.ListStripeEventsResponse:
        refuse_nul(request, "type", "customer")
        size, before = paging.size_of(request.page_size), place_of(request.page_token)
        async with self.database.transaction() as session:
            rows = await event_store.events_page(
                session,
                status=request.status,
                type_=request.type,
                customer=request.customer,
                before=before,
                limit=size + 1,
            )
        return pb.ListStripeEventsResponse(
            events=[_event(row) for row in rows[:size]],
            next_page_token=token_of(rows[size - 1].received_at, rows[size - 1].id) if len(rows) > size else "",
        )

    async def ReplayStripeEvent(
        self, request: pb.ReplayStripeEventRequest, context: Context
    ) -> pb.ReplayStripeEventResponse:
        refuse_nul(request, "event_id")
        return pb.ReplayStripeEventResponse(event=_event(await self.webhooks.replay(request.event_id)))


def _event(row: StripeEvent) -> pb.StripeEvent:
    return pb.StripeEvent(
        id=row.id,
        type=row.type,
        status=row.status,
        attempts=row.attempts,
        last_error=row.last_error,
        create_time=timestamp(row.created_at),
        receive_time=timestamp(row.received_at),
        customer=row.customer,
    )
