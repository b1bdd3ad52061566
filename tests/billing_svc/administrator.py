"""Somebody who looks after what customers pay."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chatmesh.billing.v1 import billing_pb2 as pb

from svckit.identity import Role
from svckit.ids import new_id
from tests.callers import signed_in

if TYPE_CHECKING:
    from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceAsyncStub


@dataclass
class Administrator:
    """A user whose role is admin."""

    stub: "BillingServiceAsyncStub"
    id: str = field(default_factory=new_id)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return signed_in(self.id, role=Role.ADMIN)

    async def refund(self, payment_id: str, minor: int = 0, **more: Any) -> pb.RefundPaymentResponse:
        request = pb.RefundPaymentRequest(payment_id=payment_id, amount_minor=minor, **more)
        return await self.stub.RefundPayment(request, metadata=self.metadata)

    async def webhooks(self, **filters: Any) -> pb.ListStripeEventsResponse:
        return await self.stub.ListStripeEvents(pb.ListStripeEventsRequest(**filters), metadata=self.metadata)

    async def replay(self, event_id: str) -> pb.StripeEvent:
        request = pb.ReplayStripeEventRequest(event_id=event_id)
        return (await self.stub.ReplayStripeEvent(request, metadata=self.metadata)).event

    async def timeline(self, user_id: str, **more: Any) -> pb.GetBillingTimelineResponse:
        request = pb.GetBillingTimelineRequest(user_id=user_id, **more)
        return await self.stub.GetBillingTimeline(request, metadata=self.metadata)

    async def reconcile(self, **more: Any) -> pb.ReconcileResponse:
        return await self.stub.Reconcile(pb.ReconcileRequest(**more), metadata=self.metadata)
