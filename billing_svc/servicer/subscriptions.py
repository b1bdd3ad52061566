"""RPCs of subscriptions; each caller sees their own."""

from dataclasses import dataclass, replace

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc import store
from billing_svc.driver.subscriptions import Order
from billing_svc.plans import DEFAULT_CURRENCY, Plans
from billing_svc.servicer.bridge import subscription_message
from billing_svc.servicer.caching import NO_STORE
from billing_svc.servicer.orders import interval_of, order
from billing_svc.servicer.texts import refuse_nul
from billing_svc.subscribing import Subscribing
from svckit import identity, paging
from svckit.errors import FailedPrecondition, NotFound
from svckit.postgres import Database
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class SubscriptionRpcs(BillingServiceServicer):
    """Serves subscriptions."""

    database: Database
    plans: Plans
    subscribing: Subscribing

    async def GetSubscription(self, request: pb.GetSubscriptionRequest, context: Context) -> pb.GetSubscriptionResponse:
        user_id = identity.user_id()
        async with self.database.transaction() as session:
            row = await store.find_subscription(session, request.subscription_id, user_id=user_id)
        if row is None:
            raise NotFound("no such subscription")
        await context.send_initial_metadata((NO_STORE,))
        return pb.GetSubscriptionResponse(subscription=subscription_message(row))

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, context: Context
    ) -> pb.ListSubscriptionsResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        async with self.database.transaction() as session:
            rows = await store.subscriptions_page(session, identity.user_id(), before=before, limit=size + 1)
        await context.send_initial_metadata((NO_STORE,))
        return pb.ListSubscriptionsResponse(
            subscriptions=[subscription_message(row) for row in rows[:size]],
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: Context
    ) -> pb.CreateSubscriptionResponse:
        row = await self.subscribing.subscribe(identity.user_id(), self._order(request), key=request.idempotency_key)
        location = ("location", f"/api/subscriptions/{row.id}")
        await context.send_initial_metadata((("x-http-status", "201"), location, NO_STORE))
        return pb.CreateSubscriptionResponse(subscription=subscription_message(row))

    def _order(self, request: pb.CreateSubscriptionRequest) -> Order:
        refuse_nul(request, "payment_method", "coupon", "idempotency_key")
        asked = order(
            self.plans,
            request.plan_id,
            interval_of(request.interval, otherwise="month"),
            currency=request.currency or DEFAULT_CURRENCY,
            card=request.payment_method,
            coupon=request.coupon,
        )
        if not request.trial:
            return asked
        if not asked.plan.trial_days:
            raise FailedPrecondition(f"the plan {asked.plan.id} has no trial", reason="TRIAL_NOT_OFFERED")
        return replace(asked, trial_days=asked.plan.trial_days)
