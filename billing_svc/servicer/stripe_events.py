"""RPCs of Stripe's webhooks."""

from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc.webhooks import Webhooks
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class StripeEventRpcs(BillingServiceServicer):
    """Serves the edge, which brings webhooks."""

    webhooks: Webhooks

    async def ReceiveStripeEvent(
        self, request: pb.ReceiveStripeEventRequest, context: Context
    ) -> pb.ReceiveStripeEventResponse:
        await self.webhooks.receive(request.payload, request.signature)
        return pb.ReceiveStripeEventResponse()
