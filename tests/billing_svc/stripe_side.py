"""The emulator seen from the other side: what the official SDK finds there."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import stripe

from billing_svc.emulator import API_VERSION
from billing_svc.emulator.objects import Json
from tests.waiting import PATIENCE


@dataclass(frozen=True)
class StripeSide:
    """A running emulator and a client for it."""

    url: str
    client: stripe.StripeClient
    session: aiohttp.ClientSession

    async def spoil(self, path: str, effect: str, *, times: int = 1) -> None:
        """Have something happen to the next changes at that path, or to `webhooks`; see the emulator's faults."""
        fault = {"path": path, "effect": effect, "times": times}
        async with self.session.post(f"{self.url}/_emulator/faults", json=fault) as response:
            response.raise_for_status()

    async def ask(self, url: str, **form: str) -> Json:
        """Post to something of the emulator's that Stripe does not have."""
        headers = {"authorization": "Bearer sk_test_from_a_test"}
        async with self.session.post(url, data=form, headers=headers) as response:
            response.raise_for_status()
            answer: Json = await response.json()
            return answer

    async def mend(self, effect: str) -> None:
        """Take faults of that effect back."""
        async with self.session.delete(f"{self.url}/_emulator/faults?effect={effect}") as response:
            response.raise_for_status()

    async def faults(self) -> list[str]:
        """The paths whose answers are still to be lost."""
        async with self.session.get(f"{self.url}/_emulator/faults") as response:
            return [fault["path"] for fault in await response.json()]

    async def events(self, customer: str) -> list[Json]:
        """What happened to the customer, oldest first, as it goes over the wire."""
        headers = {"authorization": "Bearer sk_test_from_a_test"}
        async with self.session.get(f"{self.url}/v1/events?limit=100", headers=headers) as response:
            events: list[Json] = (await response.json())["data"]
        return [event for event in events[::-1] if event["data"]["object"].get("customer") == customer]

    async def customers(self, user_id: str) -> list[str]:
        """The ids of every customer that was made for the user."""
        created = await self.client.v1.events.list_async({"type": "customer.created", "limit": 100})
        about = [event.data.object async for event in created.auto_paging_iter()]
        return [each["id"] for each in about if each["metadata"].to_dict().get("user_id") == user_id]

    async def pass_time(self, user_id: str, to: int) -> None:
        """Have it be that moment for the user, with everything that is due until then."""
        (customer,) = await self.customers(user_id)
        clock = await self.client.v1.test_helpers.test_clocks.create_async({"frozen_time": int(time.time())})
        headers = {"authorization": "Bearer sk_test_from_a_test"}
        url = f"{self.url}/_emulator/customers/{customer}/test_clock"
        async with self.session.post(url, data={"test_clock": clock.id}, headers=headers) as response:
            response.raise_for_status()
        await self.client.v1.test_helpers.test_clocks.advance_async(clock.id, {"frozen_time": to})

    async def payments(self, user_id: str) -> list[stripe.PaymentIntent]:
        """Every payment that was tried for the user, oldest first."""
        found: list[stripe.PaymentIntent] = []
        for customer in await self.customers(user_id):
            found += (await self.client.v1.payment_intents.list_async({"customer": customer})).data[::-1]
        return found

    async def refunds(self, user_id: str) -> list[stripe.Refund]:
        """Every refund of the user's payments."""
        found: list[stripe.Refund] = []
        for payment in await self.payments(user_id):
            found += (await self.client.v1.refunds.list_async({"payment_intent": payment.id})).data
        return found

    async def authenticate(self, user_id: str, *, proven: bool = True) -> None:
        """Answer the bank of the user's last payment, on the page that it asks on."""
        action = (await self.payments(user_id))[-1].next_action
        assert action
        assert action.redirect_to_url
        answer = {"proven": "yes" if proven else "no"}
        async with self.session.post(str(action.redirect_to_url.url), data=answer) as response:
            response.raise_for_status()

    async def subscriptions(self, user_id: str) -> list[stripe.Subscription]:
        """Every subscription of the user, whatever became of it."""
        found: list[stripe.Subscription] = []
        for customer in await self.customers(user_id):
            listed = await self.client.v1.subscriptions.list_async({"customer": customer, "status": "all"})
            found += listed.data
        return found


@asynccontextmanager
async def looking_at(url: str, *, key: str = "sk_test_from_a_test") -> AsyncIterator[StripeSide]:
    async with aiohttp.ClientSession() as session:
        client = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses={"api": url},
            http_client=stripe.AIOHTTPClient(session=session, timeout=aiohttp.ClientTimeout(total=PATIENCE)),
        )
        yield StripeSide(url, client, session)
