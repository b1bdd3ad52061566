"""RPCs of subscriptions; each caller sees their own."""

from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc import store
from billing_svc.driver.subscriptions import Order
from billing_svc.plans import DEFAULT_CURRENCY, Interval, Plans
from billing_svc.servicer.bridge import subscription_message
from billing_svc.subscribing import Subscribing
from svckit import identity, paging
from svckit.errors import InvalidArgument, NotFound
from svckit.postgres import Database
from svckit.rpc.call import Context

_INTERVALS: dict[int, Interval] = {
    pb.INTERVAL_UNSPECIFIED: "month",
    pb.INTERVAL_MONTH: "month",
    pb.INTERVAL_YEAR: "year",
}


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
        return pb.GetSubscriptionResponse(subscription=subscription_message(row))

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, context: Context
    ) -> pb.ListSubscriptionsResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        async with self.database.transaction() as session:
            rows = await store.subscriptions_page(session, identity.user_id(), before=before, limit=size + 1)
        return pb.ListSubscriptionsResponse(
            subscriptions=[subscription_message(row) for row in rows[:size]],
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: Context
    ) -> pb.CreateSubscriptionResponse:
        order = self._order(request)
        row = await self.subscribing.subscribe(identity.user_id(), order, key=request.idempotency_key)
        await context.send_initial_metadata((("x-http-status", "201"), ("location", f"/api/subscriptions/{row.id}")))
        return pb.CreateSubscriptionResponse(subscription=subscription_message(row))

    def _order(self, request: pb.CreateSubscriptionRequest) -> Order:
        plan = self.plans.get(request.plan_id)
        if plan is None:
            raise InvalidArgument.of("plan_id", "there is no such plan", reason="PLAN_UNKNOWN")
        if plan.id == self.plans.free.id:
            raise InvalidArgument.of("plan_id", "needs no subscription: everybody has it", reason="PLAN_FREE")
        interval, currency = _INTERVALS[request.interval], request.currency or DEFAULT_CURRENCY
        price = plan.price(interval, currency)
        if price is None:
            message = f"the plan {plan.id} is not sold by the {interval} in that currency"
            raise InvalidArgument.of("currency", message, reason="PRICE_UNKNOWN")
        for field in ("payment_method", "coupon", "idempotency_key"):
            if "\0" in getattr(request, field):  # PostgreSQL keeps no NUL
                raise InvalidArgument.of(field, "must not contain NUL characters")
        return Order(plan, interval, price, card=request.payment_method, coupon=request.coupon)
