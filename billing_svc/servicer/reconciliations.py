"""RPCs that compare our rows with Stripe's."""

from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc.reconciling import Reconciling
from svckit.rpc.call import Context

_SHOWN = 100


@dataclass(kw_only=True, eq=False)
class ReconciliationRpcs(BillingServiceServicer):
    """Serves administrators."""

    reconciling: Reconciling

    async def Reconcile(self, request: pb.ReconcileRequest, context: Context) -> pb.ReconcileResponse:
        if request.user_id:
            outcome = await self.reconciling.one(request.user_id)
        else:
            outcome = await self.reconciling.everybody(recent_only=request.recent_only)
        return pb.ReconcileResponse(
            compared=outcome.compared,
            repaired=len(outcome.repairs),
            repairs=[
                pb.Repair(kind=each.kind, id=each.id, user_id=each.user_id, difference=each.difference)
                for each in outcome.repairs[:_SHOWN]
            ],
        )
