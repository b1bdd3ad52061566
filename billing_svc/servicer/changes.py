"""RPCs that change a subscription; each caller changes their own."""

from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc import store
from billing_svc.cancelling import Cancelling
from billing_svc.changing import Changing
from billing_svc.driver.subscriptions import Order
from billing_svc.models import Subscription
from billing_svc.money import Money
from billing_svc.plans import Plans
from billing_svc.repeats import Asked, FirstAnswers
from billing_svc.servicer.bridge import line_message, money_message, subscription_message
from billing_svc.servicer.caching import NO_STORE
from billing_svc.servicer.orders import interval_of, order
from billing_svc.servicer.texts import refuse_nul
from svckit import identity
from svckit.errors import NotFound
from svckit.postgres import Database
from svckit.rpc.call import Context
from svckit.timestamps import timestamp


@dataclass(kw_only=True, eq=False)
class ChangeRpcs(BillingServiceServicer):
    """Serves changes, cancellations and what takes them back."""

    database: Database
    plans: Plans
    changing: Changing
    cancelling: Cancelling
    first_answers: FirstAnswers
    live: bool

    async def PreviewSubscription(
        self, request: pb.PreviewSubscriptionRequest, context: Context
    ) -> pb.PreviewSubscriptionResponse:
        refuse_nul(request, "plan_id", "coupon")
        row = await self._own_subscription(request.subscription_id)
        preview = await self.changing.preview(row, self._changed(row, request))
        return pb.PreviewSubscriptionResponse(
            amount_due=money_message(Money(preview.quote.due_minor, row.currency)),
            lines=[line_message(line) for line in preview.quote.lines],
            effective_time=timestamp(preview.effective),
            preview_token=preview.token,
            warnings=["usage_exceeds_new_plan"] if preview.tight else [],
            livemode=self.live,
        )

    async def UpdateSubscription(
        self, request: pb.UpdateSubscriptionRequest, context: Context
    ) -> pb.UpdateSubscriptionResponse:
        refuse_nul(request, "plan_id", "coupon", "preview_token", "idempotency_key")
        asked = Asked.of(request, user_id=identity.user_id())
        await context.send_initial_metadata((NO_STORE,))
        if first := await self.first_answers.recall(asked, pb.UpdateSubscriptionResponse):
            return first
        row = await self._own_subscription(request.subscription_id)
        row = await self.changing.update(row, self._changed(row, request), asked, token=request.preview_token)
        answer = pb.UpdateSubscriptionResponse(subscription=subscription_message(row))
        return await self.first_answers.keep(asked, answer)

    async def CancelSubscription(
        self, request: pb.CancelSubscriptionRequest, context: Context
    ) -> pb.CancelSubscriptionResponse:
        row = await self._own_subscription(request.subscription_id)
        row = await self.cancelling.cancel(row, now=request.now, feedback=request.feedback)
        return pb.CancelSubscriptionResponse(subscription=subscription_message(row))

    async def ResumeSubscription(
        self, request: pb.ResumeSubscriptionRequest, context: Context
    ) -> pb.ResumeSubscriptionResponse:
        row = await self.cancelling.resume(await self._own_subscription(request.subscription_id))
        return pb.ResumeSubscriptionResponse(subscription=subscription_message(row))

    async def _own_subscription(self, subscription_id: str) -> Subscription:
        async with self.database.transaction() as session:
            row = await store.find_subscription(session, subscription_id, user_id=identity.user_id())
        if row is None:
            raise NotFound("no such subscription")
        return row

    def _changed(
        self, row: Subscription, request: pb.UpdateSubscriptionRequest | pb.PreviewSubscriptionRequest
    ) -> Order:
        """What the subscription shall become; it keeps its currency, and its interval unless another is asked for."""
        interval = interval_of(request.interval, otherwise=row.interval)
        return order(self.plans, request.plan_id, interval, currency=row.currency, coupon=request.coupon)
