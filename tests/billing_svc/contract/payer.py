"""Somebody with a card and a clock of their own, at Stripe or its emulator."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import stripe

from tests.waiting import until


def moment(*parts: int) -> int:
    """A time of the calendar, UTC, in Unix seconds."""
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[arg-type, misc]


def item_of(subscription: stripe.Subscription) -> stripe.SubscriptionItem:
    return subscription.items.data[0]


@dataclass
class Payer:
    """`begin` first; every time is the clock's."""

    client: stripe.StripeClient
    id: str = ""
    clock: str = ""

    async def begin(self, now: int, *, card: str = "pm_card_visa") -> None:
        """`card`: the customer's default; empty for none."""
        self.clock = (await self.client.v1.test_helpers.test_clocks.create_async({"frozen_time": now})).id
        self.id = (await self.client.v1.customers.create_async({"test_clock": self.clock})).id
        if card:
            await self.pay_with(card)

    async def pay_with(self, card: str) -> None:
        attached = await self.client.v1.payment_methods.attach_async(card, {"customer": self.id})
        await self.client.v1.customers.update_async(
            self.id, {"invoice_settings": {"default_payment_method": attached.id}}
        )

    async def price(self, amount: int, *, currency: str = "usd", interval: Any = "month") -> str:
        product = await self.client.v1.products.create_async({"name": f"{amount} {currency} each {interval}"})
        made = await self.client.v1.prices.create_async(
            {
                "product": product.id,
                "unit_amount": amount,
                "currency": currency,
                "recurring": {"interval": interval},
            }
        )
        return made.id

    async def subscribe(self, price: str, **more: Any) -> stripe.Subscription:
        asked = {"customer": self.id, "items": [{"price": price}], "payment_behavior": "error_if_incomplete"} | more
        return await self.client.v1.subscriptions.create_async(asked)  # type: ignore[arg-type]

    async def change(self, subscription: stripe.Subscription, price: str, **more: Any) -> stripe.Subscription:
        asked = {
            "items": [{"id": item_of(subscription).id, "price": price}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "error_if_incomplete",
        } | more
        return await self.client.v1.subscriptions.update_async(subscription.id, asked)  # type: ignore[arg-type]

    async def preview(self, subscription: stripe.Subscription, price: str) -> stripe.Invoice:
        return await self.client.v1.invoices.create_preview_async(
            {
                "subscription": subscription.id,
                "subscription_details": {
                    "items": [{"id": item_of(subscription).id, "price": price}],
                    "proration_behavior": "always_invoice",
                },
            }
        )

    async def advance(self, to: int) -> None:
        """Let everything happen that is due until then."""
        await self.client.v1.test_helpers.test_clocks.advance_async(self.clock, {"frozen_time": to})

        async def ready() -> bool:
            clock = await self.client.v1.test_helpers.test_clocks.retrieve_async(self.clock)
            return clock.status == "ready"

        await until(ready)

    async def subscription(self, subscription: stripe.Subscription) -> stripe.Subscription:
        return await self.client.v1.subscriptions.retrieve_async(subscription.id)

    async def invoice(self, id_: object) -> stripe.Invoice:
        return await self.client.v1.invoices.retrieve_async(str(id_))

    async def invoices(self) -> list[stripe.Invoice]:
        """Oldest first."""
        return (await self.client.v1.invoices.list_async({"customer": self.id, "limit": 100})).data[::-1]

    async def totals(self) -> list[int]:
        return [invoice.total for invoice in await self.invoices()]
