"""Subscriptions at Stripe: made, ended and followed."""

from dataclasses import dataclass

import stripe
from stripe import V1Services
from stripe.params import SubscriptionCancelParams, SubscriptionCreateParams

from billing_svc.driver.errors import Challenged, there_already, translated
from billing_svc.driver.prices import Prices
from billing_svc.money import Money
from billing_svc.plans import Interval, Plan

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Order:
    """What to subscribe to and how to pay for it.

    Empty `card`: the customer's default; empty `coupon`: none; with `trial_days` the first charge comes after them.
    """

    plan: Plan
    interval: Interval
    price: Money
    card: str = ""
    coupon: str = ""
    trial_days: int = 0


class Subscriptions:
    """Stripe's subscriptions."""

    def __init__(self, stripe: V1Services, *, prices: Prices, default_card: str) -> None:
        self._stripe = stripe
        self._prices = prices
        self._default_card = default_card

    async def create(self, customer: str, order: Order, *, subscription_id: str, attempt: int) -> None:
        """Subscribe and charge, all or nothing; our row's id goes along, so that the subscription is found again.

        Only a card that must be confirmed leaves a subscription whose payment is open.
        Raises Declined, FailedPrecondition PAYMENT_METHOD_MISSING, and InvalidArgument for what the caller named and
        Stripe does not know: then nothing was made.
        """
        params: SubscriptionCreateParams = {
            "customer": customer,
            "items": [{"price": await self._prices.of_plan(order.plan, order.interval, order.price)}],
            "metadata": {"subscription_id": subscription_id},
            "payment_behavior": "error_if_incomplete",
        }
        if order.coupon:
            params["discounts"] = [{"coupon": order.coupon}]
        if order.trial_days:
            params["trial_period_days"] = order.trial_days
            params["trial_settings"] = {"end_behavior": {"missing_payment_method": "pause"}}
        if card := order.card or ("" if order.trial_days else self._default_card):
            params["default_payment_method"] = await self._attach(card, customer, f"{subscription_id}:{attempt}")
        key = f"sub_create:{subscription_id}:{attempt}"
        try:
            with translated():
                await self._stripe.subscriptions.create_async(params, {"idempotency_key": key})
        except Challenged:
            params["payment_behavior"] = "allow_incomplete"
            with translated():
                await self._stripe.subscriptions.create_async(params, {"idempotency_key": f"{key}:confirm"})

    async def _attach(self, card: str, customer: str, row: str) -> str:
        with translated():
            attached = await self._stripe.payment_methods.attach_async(
                card, {"customer": customer}, {"idempotency_key": f"card_attach:{row}"}
            )
        return attached.id

    async def cancel(self, subscription: str, *, feedback: str = "") -> None:
        """End a subscription at once, by Stripe's id, without a refund; one that has ended already is fine.

        `feedback`: why the customer leaves, in Stripe's word.
        """
        params: SubscriptionCancelParams = {"cancellation_details": {"feedback": feedback}} if feedback else {}
        with translated(), there_already("id"):
            await self._stripe.subscriptions.cancel_async(subscription, params)

    async def of_customer(self, customer: str) -> list[stripe.Subscription]:
        """All that the customer ever had, oldest first, with what follows, what is to be paid and its coupons."""
        expand = ["data.schedule", "data.latest_invoice.confirmation_secret", "data.discounts.source.coupon"]
        with translated():
            found = await self._stripe.subscriptions.list_async(
                {"customer": customer, "status": "all", "limit": _PAGE, "expand": expand}
            )
            return [each async for each in found.auto_paging_iter()][::-1]
