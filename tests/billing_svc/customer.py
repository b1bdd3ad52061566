"""Somebody who pays: a user with a token, calling the service as the edge would."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from chatmesh.billing.v1 import billing_pb2 as pb
from joserfc.jwk import OKPKey

from svckit.errors import Unauthenticated
from svckit.identity import Claims, Role, SigningKey, mint
from svckit.ids import new_id

if TYPE_CHECKING:
    from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceAsyncStub

KEY = SigningKey.generate("test")


class OneKey:
    """Knows the key that the tests sign with."""

    async def key(self, kid: str) -> OKPKey:
        if kid != KEY.kid:
            raise Unauthenticated("unknown key")
        return KEY.key


@dataclass
class Customer:
    """A user of their own for each test."""

    stub: "BillingServiceAsyncStub"
    id: str = field(default_factory=new_id)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        expires = datetime.now(UTC) + timedelta(minutes=10)
        token = mint(Claims(self.id, new_id(), Role.USER, new_id(), expires), KEY)
        return (("authorization", f"Bearer {token}"),)

    async def subscribe(self, plan_id: str = "pro", **more: Any) -> pb.Subscription:
        request = pb.CreateSubscriptionRequest(plan_id=plan_id, **more)
        return (await self.stub.CreateSubscription(request, metadata=self.metadata)).subscription

    async def subscription(self, subscription_id: str) -> pb.Subscription:
        request = pb.GetSubscriptionRequest(subscription_id=subscription_id)
        return (await self.stub.GetSubscription(request, metadata=self.metadata)).subscription

    async def subscriptions(self) -> list[pb.Subscription]:
        answer = await self.stub.ListSubscriptions(pb.ListSubscriptionsRequest(), metadata=self.metadata)
        return list(answer.subscriptions)

    async def invoices(self, **more: Any) -> pb.ListInvoicesResponse:
        return await self.stub.ListInvoices(pb.ListInvoicesRequest(**more), metadata=self.metadata)

    async def entitlements(self) -> pb.Entitlements:
        answer = await self.stub.GetEntitlements(pb.GetEntitlementsRequest(), metadata=self.metadata)
        return answer.entitlements
