"""Time passes for one customer: at Stripe by a test clock, and the service hears of it as it would from Stripe."""

import json
import time
from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb

from billing_svc.emulator.webhooks import signature
from tests.billing_svc.conftest import SECRETS, Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide

DAY = 24 * 60 * 60


@dataclass
class Travel:
    """A customer who is on a clock of their own from the first advance on."""

    billing: Billing
    stripe_side: StripeSide
    customer: Customer
    _clock: str = ""
    _now: int = 0

    async def at_stripe(self) -> str:
        return (await self.stripe_side.customers(self.customer.id))[0]

    async def advance(self, seconds: int) -> None:
        """Let that time pass, and tell the service that something happened."""
        clocks = self.stripe_side.client.v1.test_helpers.test_clocks
        if not self._clock:
            self._now = int(time.time())
            self._clock = (await clocks.create_async({"frozen_time": self._now})).id
            url = f"{self.stripe_side.url}/_emulator/customers/{await self.at_stripe()}/test_clock"
            await self.stripe_side.ask(url, test_clock=self._clock)
        self._now += seconds
        await clocks.advance_async(self._clock, {"frozen_time": self._now})
        await self.tell()

    async def to_the_end_of(self, subscription: pb.Subscription) -> None:
        """Let the running period end, and what follows at once."""
        start = self._now or int(time.time())
        await self.advance(subscription.current_period_end_time.seconds - start + 2 * 60 * 60)

    async def tell(self) -> None:
        """Send the service the newest of what Stripe has to say about the customer's subscription."""
        events = await self.stripe_side.events(await self.at_stripe())
        about = [event for event in events if event["type"].startswith("customer.subscription.")]
        payload = json.dumps(about[-1] | {"id": f"{about[-1]['id']}_{self._now}"}).encode()
        header = signature(payload, SECRETS[0], now=int(time.time()))
        await self.billing.as_edge.ReceiveStripeEvent(pb.ReceiveStripeEventRequest(payload=payload, signature=header))

    async def pay_with(self, card: str) -> None:
        """Have Stripe charge another card from now on."""
        customer = await self.at_stripe()
        attached = await self.stripe_side.client.v1.payment_methods.attach_async(card, {"customer": customer})
        for theirs in await self.stripe_side.subscriptions(self.customer.id):
            await self.stripe_side.client.v1.subscriptions.update_async(
                theirs.id, {"default_payment_method": attached.id}
            )
