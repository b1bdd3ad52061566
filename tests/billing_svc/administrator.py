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
