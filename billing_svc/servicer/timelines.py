"""RPCs of what happened with a customer."""

from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc import store, timeline
from billing_svc.servicer.bridge import money_message
from billing_svc.servicer.moments import place_of, token_of
from billing_svc.timeline import Entry
from svckit import paging
from svckit.errors import NotFound
from svckit.postgres import Database
from svckit.rpc.call import Context
from svckit.timestamps import timestamp


@dataclass(kw_only=True, eq=False)
class TimelineRpcs(BillingServiceServicer):
    """Serves administrators."""

    database: Database

    async def GetBillingTimeline(
        self, request: pb.GetBillingTimelineRequest, context: Context
    ) -> pb.GetBillingTimelineResponse:
        size, before = paging.size_of(request.page_size), place_of(request.page_token)
        async with self.database.transaction() as session:
            customer = await store.find_customer(session, request.user_id)
            if customer is None:
                raise NotFound("no customer of that user")
            found = await timeline.entries(session, customer, before=before, limit=size + 1)
        return pb.GetBillingTimelineResponse(
            entries=[_entry(each) for each in found[:size]],
            next_page_token=token_of(found[size - 1].at, found[size - 1].id) if len(found) > size else "",
        )


def _entry(entry: Entry) -> pb.TimelineEntry:
    return pb.TimelineEntry(
        time=timestamp(entry.at),
        type=entry.type,
        id=entry.id,
        amount=money_message(entry.amount) if entry.amount else None,
        summary=entry.summary,
    )
