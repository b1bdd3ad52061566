"""RPCs of customers: their cards, and the pages of Stripe's where they look after themselves."""

from dataclasses import dataclass
from datetime import UTC, datetime

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc import customers, store
from billing_svc.driver.connection import Driver
from billing_svc.servicer.caching import NO_STORE
from svckit import identity
from svckit.errors import InvalidArgument, Unauthenticated
from svckit.postgres import Database
from svckit.rpc.call import Context

# What these answers hold lets its holder act for the customer.


@dataclass(kw_only=True, eq=False)
class CustomerRpcs(BillingServiceServicer):
    """Serves customers."""

    database: Database
    driver: Driver
    public_url: str

    async def CreatePaymentMethod(
        self, request: pb.CreatePaymentMethodRequest, context: Context
    ) -> pb.CreatePaymentMethodResponse:
        secret = await self.driver.cards.begin_keeping(await self._customer())
        await context.send_initial_metadata((NO_STORE,))
        return pb.CreatePaymentMethodResponse(client_secret=secret)

    async def CreatePortalSession(
        self, request: pb.CreatePortalSessionRequest, context: Context
    ) -> pb.CreatePortalSessionResponse:
        return_url = request.return_url or self.public_url
        if not return_url.startswith(("https://", "http://")):
            raise InvalidArgument.of("return_url", "must begin with https:// or http://")
        url = await self.driver.cards.portal(await self._customer(), return_url=return_url)
        await context.send_initial_metadata((NO_STORE,))
        return pb.CreatePortalSessionResponse(url=url)

    async def _customer(self) -> str:
        """Stripe's id of the caller, whose row is made if there is none."""
        user_id = identity.user_id()
        async with self.database.transaction() as session:
            await store.add_customer(session, user_id, now=datetime.now(UTC))
            if not await store.may_buy(session, user_id):
                raise Unauthenticated("the account is no more", reason="TOKEN_INVALID")
        return await customers.at_stripe(user_id, database=self.database, driver=self.driver)
