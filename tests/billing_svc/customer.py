"""Somebody who pays: a user with a token, calling the service as the edge would."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chatmesh.billing.v1 import billing_pb2 as pb

from svckit.ids import new_id
from tests.callers import signed_in

if TYPE_CHECKING:
    from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceAsyncStub


@dataclass
class Customer:
    """A user of their own for each test."""

    stub: "BillingServiceAsyncStub"
    id: str = field(default_factory=new_id)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return signed_in(self.id)

    async def subscribe(self, plan_id: str = "pro", **more: Any) -> pb.Subscription:
        request = pb.CreateSubscriptionRequest(plan_id=plan_id, **more)
        return (await self.stub.CreateSubscription(request, metadata=self.metadata)).subscription

    async def subscription(self, subscription_id: str) -> pb.Subscription:
        request = pb.GetSubscriptionRequest(subscription_id=subscription_id)
        return (await self.stub.GetSubscription(request, metadata=self.metadata)).subscription

    async def subscriptions(self) -> list[pb.Subscription]:
        answer = await self.stub.ListSubscriptions(pb.ListSubscriptionsRequest(), metadata=self.metadata)
        return list(answer.subscriptions)

    async def preview(self, made: pb.Subscription, plan_id: str, **more: Any) -> pb.PreviewSubscriptionResponse:
        request = pb.PreviewSubscriptionRequest(subscription_id=made.id, plan_id=plan_id, **more)
        return await self.stub.PreviewSubscription(request, metadata=self.metadata)

    async def update(self, made: pb.Subscription, plan_id: str, **more: Any) -> pb.Subscription:
        request = pb.UpdateSubscriptionRequest(subscription_id=made.id, plan_id=plan_id, **more)
        return (await self.stub.UpdateSubscription(request, metadata=self.metadata)).subscription

    async def cancel(self, made: pb.Subscription, **more: Any) -> pb.Subscription:
        request = pb.CancelSubscriptionRequest(subscription_id=made.id, **more)
        return (await self.stub.CancelSubscription(request, metadata=self.metadata)).subscription

    async def resume(self, made: pb.Subscription) -> pb.Subscription:
        request = pb.ResumeSubscriptionRequest(subscription_id=made.id)
        return (await self.stub.ResumeSubscription(request, metadata=self.metadata)).subscription

    async def invoices(self, **more: Any) -> pb.ListInvoicesResponse:
        return await self.stub.ListInvoices(pb.ListInvoicesRequest(**more), metadata=self.metadata)

    async def entitlements(self) -> pb.Entitlements:
        answer = await self.stub.GetEntitlements(pb.GetEntitlementsRequest(), metadata=self.metadata)
        return answer.entitlements

    async def pay(self, minor: int = 1500, *, currency: str = "usd", key: str = "", **more: Any) -> pb.Payment:
        request = pb.CreatePaymentRequest(
            amount=pb.Money(amount_minor=minor, currency=currency), idempotency_key=key or new_id(), **more
        )
        return (await self.stub.CreatePayment(request, metadata=self.metadata)).payment

    async def payment(self, payment_id: str) -> pb.Payment:
        request = pb.GetPaymentRequest(payment_id=payment_id)
        return (await self.stub.GetPayment(request, metadata=self.metadata)).payment

    async def payments(self, **more: Any) -> pb.ListPaymentsResponse:
        return await self.stub.ListPayments(pb.ListPaymentsRequest(**more), metadata=self.metadata)

    async def confirm(self, payment_id: str) -> pb.Payment:
        request = pb.ConfirmPaymentRequest(payment_id=payment_id)
        return (await self.stub.ConfirmPayment(request, metadata=self.metadata)).payment
