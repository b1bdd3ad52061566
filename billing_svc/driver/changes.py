"""Changes of subscriptions at Stripe: now with what they cost, later by a schedule, and taken back."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import stripe
from stripe import V1Services
from stripe.params import (
    InvoiceCreatePreviewParams,
    SubscriptionScheduleUpdateParams,
    SubscriptionScheduleUpdateParamsPhaseDiscount,
    SubscriptionUpdateParams,
)

from billing_svc.driver.errors import Challenged, Meanwhile, translated
from billing_svc.driver.prices import Prices
from billing_svc.driver.subscriptions import Order
from svckit.errors import FailedPrecondition


@dataclass(frozen=True, slots=True)
class Quote:
    """What a change costs when it is prorated at that date, in Unix seconds of the customer's time at Stripe."""

    due_minor: int
    date: int
    lines: Sequence[stripe.InvoiceLineItem]


class Changes:
    """Changes Stripe's subscriptions. Ids of subscriptions are Stripe's."""

    def __init__(self, stripe: V1Services, *, prices: Prices) -> None:
        self._stripe = stripe
        self._prices = prices

    async def quote(self, subscription: str, order: Order, *, date: int | None = None) -> Quote:
        """What the change would cost now, or at that date. Raises InvalidArgument COUPON_INVALID and PreviewExpired."""
        params: InvoiceCreatePreviewParams = {
            "subscription": subscription,
            "subscription_details": {
                "items": [{"id": await self._item(subscription), "price": await self._price(order)}],
                "proration_behavior": "always_invoice",
            },
        }
        if date is not None:
            params["subscription_details"]["proration_date"] = date
        if order.coupon:
            params["discounts"] = [{"coupon": order.coupon}]
        with translated():
            seen = await self._stripe.invoices.create_preview_async(params)
        details = seen.parent.subscription_details if seen.parent else None
        at = details.subscription_proration_date if details else None
        return Quote(seen.amount_due, at or date or seen.created, seen.lines.data)

    async def now(self, subscription: str, order: Order, *, date: int, key: str) -> None:
        """Change and charge, or change nothing. A card that must be confirmed leaves the change pending at Stripe.

        Raises Declined, Challenged (only with a coupon), FailedPrecondition PAYMENT_METHOD_MISSING, and InvalidArgument
        COUPON_INVALID.
        """
        await self.release(subscription)
        params: SubscriptionUpdateParams = {
            "items": [{"id": await self._item(subscription), "price": await self._price(order)}],
            "proration_behavior": "always_invoice",
            "proration_date": date,
            "payment_behavior": "error_if_incomplete",
        }
        if order.coupon:
            params["discounts"] = [{"coupon": order.coupon}]
        try:
            with translated():
                await self._stripe.subscriptions.update_async(subscription, params, {"idempotency_key": key})
        except Challenged:
            if order.coupon:  # https://docs.stripe.com/billing/subscriptions/pending-updates-reference
                raise
            params["payment_behavior"] = "pending_if_incomplete"
            with translated():
                options: stripe.RequestOptions = {"idempotency_key": f"{key}:confirm"}
                await self._stripe.subscriptions.update_async(subscription, params, options)

    async def later(self, subscription: str, order: Order, *, key: str) -> None:
        """Have the order follow when the running period ends, in place of what was to follow.

        Raises Meanwhile, and InvalidArgument COUPON_INVALID.
        """
        price = await self._price(order)
        with translated():
            theirs = await self._stripe.subscriptions.retrieve_async(subscription)
            schedule = await self._schedule(theirs, key=key)
            running, _ = phases_of(schedule)
            # A phase has the discounts that it names and no others.
            kept: list[SubscriptionScheduleUpdateParamsPhaseDiscount] = [
                {"discount": _id(each)} for each in theirs.discounts
            ]
            params: SubscriptionScheduleUpdateParams = {
                "end_behavior": "release",
                "proration_behavior": "none",
                "metadata": {"plan_id": order.plan.id, "interval": order.interval},
                "phases": [
                    {
                        "start_date": running.start_date,
                        "end_date": running.end_date,
                        "items": [{"price": theirs.items.data[0].price.id}],
                        "discounts": kept,
                    },
                    {
                        "items": [{"price": price}],
                        "duration": {"interval": order.interval, "interval_count": 1},
                        "discounts": [{"coupon": order.coupon}] if order.coupon else kept,
                    },
                ],
            }
            try:
                await self._stripe.subscription_schedules.update_async(schedule.id, params)
            except stripe.InvalidRequestError as error:
                now = await self._stripe.subscriptions.retrieve_async(subscription)
                if now.schedule == schedule.id:
                    raise
                raise Meanwhile from error

    async def release(self, subscription: str) -> None:
        """Let nothing follow, if something was to."""
        with translated():
            theirs = await self._stripe.subscriptions.retrieve_async(subscription)
            if theirs.schedule:
                with suppress(Meanwhile):
                    async with self._noticing(theirs):
                        await self._stripe.subscription_schedules.release_async(_id(theirs.schedule))

    async def drop_unpaid(self, subscription: str) -> None:
        """Take back a change that waits for a payment."""
        with translated():
            theirs = await self._stripe.subscriptions.retrieve_async(subscription)
            if theirs.pending_update and theirs.latest_invoice:
                with suppress(Meanwhile):
                    async with self._noticing(theirs):
                        await self._stripe.invoices.void_invoice_async(_id(theirs.latest_invoice))

    async def end_with_period(self, subscription: str, *, ends: bool, feedback: str = "") -> None:
        """Have it end when the running period does, or not. Raises Meanwhile.

        `feedback`: why the customer leaves, in Stripe's word.
        """
        if ends:
            await self.release(subscription)
        params: SubscriptionUpdateParams = {"cancel_at_period_end": ends}
        if feedback:
            params["cancellation_details"] = {"feedback": feedback}
        with translated():
            theirs = await self._stripe.subscriptions.retrieve_async(subscription)
            async with self._noticing(theirs):
                await self._stripe.subscriptions.update_async(subscription, params)

    async def unpause(self, subscription: str) -> None:
        """Go on with a new period, paid now. Raises Declined, Meanwhile, FailedPrecondition PAYMENT_METHOD_MISSING."""
        with translated():
            theirs = await self._stripe.subscriptions.retrieve_async(subscription)
            async with self._noticing(theirs):
                await self._stripe.subscriptions.resume_async(
                    subscription, {"payment_behavior": "resume_on_payment_success"}
                )

    @asynccontextmanager
    async def _noticing(self, theirs: stripe.Subscription) -> AsyncIterator[None]:
        """What Stripe refuses because the subscription is no longer as it was seen raises Meanwhile."""
        try:
            yield
        except stripe.InvalidRequestError as error:
            now = await self._stripe.subscriptions.retrieve_async(theirs.id)
            if _standing(now) == _standing(theirs):
                raise
            raise Meanwhile from error

    async def _schedule(self, theirs: stripe.Subscription, *, key: str) -> stripe.SubscriptionSchedule:
        schedules = self._stripe.subscription_schedules
        if theirs.schedule:
            return await schedules.retrieve_async(_id(theirs.schedule))
        return await schedules.create_async({"from_subscription": theirs.id}, {"idempotency_key": f"{key}:schedule"})

    async def _item(self, subscription: str) -> str:
        with translated():
            theirs = await self._stripe.subscriptions.retrieve_async(subscription)
        if theirs.status in ("canceled", "incomplete_expired"):
            raise FailedPrecondition("the subscription has ended", reason="NOT_CHANGEABLE")
        return theirs.items.data[0].id

    async def _price(self, order: Order) -> str:
        return await self._prices.of_plan(order.plan, order.interval, order.price)


def phases_of(
    schedule: stripe.SubscriptionSchedule,
) -> tuple[stripe.SubscriptionSchedule.Phase, stripe.SubscriptionSchedule.Phase | None]:
    """The running phase and the one that follows. A schedule keeps those that are over, and ends with its last one."""
    begun = schedule.current_phase.start_date if schedule.current_phase else 0
    running, *following = [phase for phase in schedule.phases if phase.start_date >= begun]
    return running, following[0] if following else None


def _standing(theirs: stripe.Subscription) -> tuple[object, ...]:
    """What other requests may change."""
    return (theirs.status, theirs.schedule, theirs.cancel_at_period_end, theirs.pending_update is None)


def _id(reference: str | stripe.SubscriptionSchedule | stripe.Invoice | stripe.Discount) -> str:
    return reference if isinstance(reference, str) else reference.id
