"""RPCs of what can be bought, and of what a caller may use."""

from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc import store
from billing_svc.plans import DEFAULT_CURRENCY, Plans
from billing_svc.servicer.bridge import entitlements_message, limits_message, plan_message
from svckit import identity
from svckit.postgres import Database
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class PlanRpcs(BillingServiceServicer):
    """Serves plans and entitlements."""

    database: Database
    plans: Plans
    live: bool

    async def ListPlans(self, request: pb.ListPlansRequest, context: Context) -> pb.ListPlansResponse:
        currency = request.currency or DEFAULT_CURRENCY
        plans = [plan_message(plan, currency) for plan in self.plans.sold_in(currency)]
        return pb.ListPlansResponse(plans=plans, livemode=self.live)

    async def GetEntitlements(self, request: pb.GetEntitlementsRequest, context: Context) -> pb.GetEntitlementsResponse:
        async with self.database.transaction() as session:
            row = await store.entitlement(session, identity.user_id())
        return pb.GetEntitlementsResponse(entitlements=entitlements_message(row) if row else self._free())

    def _free(self) -> pb.Entitlements:
        """Of those who never subscribed: version 0, older than any snapshot."""
        free = self.plans.free
        return pb.Entitlements(plan_id=free.id, limits=limits_message(free, DEFAULT_CURRENCY))
