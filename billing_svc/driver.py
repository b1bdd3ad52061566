"""The calls that we make to Stripe: one driver, whether Stripe or its emulator answers.

Each call that creates something carries an idempotency key made from our own rows, so that asking again after a lost
answer creates nothing twice (https://docs.stripe.com/api/idempotent_requests).
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aiohttp
import stripe
import structlog
from stripe.params import SubscriptionCreateParams

from billing_svc.money import Money
from billing_svc.plans import Interval, Plan
from svckit.errors import FailedPrecondition, InvalidArgument, Unavailable

log = structlog.get_logger(__name__)

# The version that stripe-python 16.1 is typed for, whatever the account's default is.
_API_VERSION = "2026-10-28.endive"
_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3)
_RETRIES = 2
_PAGE = 100

# Of our requests' parameters, those that a caller gave us, by the caller's name of them.
_CALLERS_FIELDS = {
    "payment_method": "payment_method",
    "default_payment_method": "payment_method",
    "discounts": "coupon",
}


class Unsure(Unavailable):
    """Nobody knows whether Stripe did it: ask again with the same key. `spent`: that key only repeats a failure."""

    def __init__(self, *, spent: bool = False) -> None:
        super().__init__("the payment provider does not answer, try again", reason="PAYMENT_PROVIDER_UNAVAILABLE")
        self.spent = spent


class Declined(FailedPrecondition):
    """The card was refused, and nothing was made."""

    def __init__(self, message: str, *, code: str) -> None:
        """`code`: Stripe's decline code (https://docs.stripe.com/declines/codes)."""
        super().__init__(message, reason="CARD_DECLINED", metadata={"decline_code": code})
        self.code = code


@dataclass(frozen=True, slots=True)
class Order:
    """What to subscribe to and how to pay for it. Empty `card`: the customer's default; empty `coupon`: none."""

    plan: Plan
    interval: Interval
    price: Money
    card: str = ""
    coupon: str = ""


class Driver:
    """Stripe, as far as we use it. Its errors come out as errors for the caller; `Unsure` when the outcome is open."""

    def __init__(self, client: stripe.StripeClient, *, default_card: str = "") -> None:
        """`default_card`: charged when the caller names none; only against the emulator."""
        self._stripe = client.v1
        self._default_card = default_card
        self._prices: dict[str, str] = {}

    async def customer(self, user_id: str) -> str:
        """The id of the user's customer, made when it is asked for first."""
        with _translated():
            made = await self._stripe.customers.create_async(
                {"metadata": {"user_id": user_id}}, {"idempotency_key": f"customer_create:{user_id}"}
            )
        return made.id

    async def subscribe(self, customer: str, order: Order, *, subscription_id: str, attempt: int) -> None:
        """Subscribe and charge, all or nothing; our row's id goes along, so that the subscription is found again.

        Raises Declined, FailedPrecondition PAYMENT_METHOD_MISSING, and InvalidArgument for what the caller named and
        Stripe does not know: then nothing was made.
        """
        price = await self._price(order)
        params: SubscriptionCreateParams = {
            "customer": customer,
            "items": [{"price": price}],
            "metadata": {"subscription_id": subscription_id},
            "payment_behavior": "error_if_incomplete",
        }
        with _translated():
            if card := order.card or self._default_card:
                key = f"card_attach:{subscription_id}:{attempt}"
                attached = await self._stripe.payment_methods.attach_async(
                    card, {"customer": customer}, {"idempotency_key": key}
                )
                params["default_payment_method"] = attached.id
            if order.coupon:
                params["discounts"] = [{"coupon": order.coupon}]
            key = f"sub_create:{subscription_id}:{attempt}"
            await self._stripe.subscriptions.create_async(params, {"idempotency_key": key})

    async def cancel(self, subscription: str) -> None:
        """End a subscription at once, by Stripe's id, without a refund; one that has ended already is fine."""
        with _translated(), _there_already("id"):
            await self._stripe.subscriptions.cancel_async(subscription)

    async def subscriptions(self, customer: str) -> list[stripe.Subscription]:
        """All that the customer ever had, oldest first."""
        with _translated():
            found = await self._stripe.subscriptions.list_async({"customer": customer, "status": "all", "limit": _PAGE})
            return [each async for each in found.auto_paging_iter()][::-1]

    async def invoices(self, customer: str) -> list[stripe.Invoice]:
        """All that the customer ever got, with their payments, oldest first."""
        with _translated():
            found = await self._stripe.invoices.list_async(
                {"customer": customer, "limit": _PAGE, "expand": ["data.payments"]}
            )
            return [each async for each in found.auto_paging_iter()][::-1]

    async def _price(self, order: Order) -> str:
        """The id of Stripe's price, made with its product when it is needed first.

        Prices never change at Stripe, so the amount is part of the lookup key: a new amount is a new price.
        """
        key = f"{order.plan.id}_{order.interval}_{order.price.currency}_{order.price.minor}"
        if key not in self._prices:
            with _translated():
                self._prices[key] = await self._find_price(key) or await self._make_price(key, order)
        return self._prices[key]

    async def _find_price(self, lookup_key: str) -> str | None:
        found = await self._stripe.prices.list_async({"lookup_keys": [lookup_key], "limit": 1})
        return found.data[0].id if found.data else None

    async def _make_price(self, lookup_key: str, order: Order) -> str:
        product = f"chatmesh_{order.plan.id}"
        with _there_already("id"):
            await self._stripe.products.create_async({"id": product, "name": order.plan.name})
        with _there_already("lookup_key"):
            made = await self._stripe.prices.create_async(
                {
                    "product": product,
                    "lookup_key": lookup_key,
                    "unit_amount": order.price.minor,
                    "currency": order.price.currency,
                    "recurring": {"interval": order.interval},
                    "metadata": {"plan_id": order.plan.id},
                }
            )
            return made.id
        # Another replica was faster.
        if (found := await self._find_price(lookup_key)) is None:
            raise Unsure
        return found


@asynccontextmanager
async def connected(*, key: str, url: str, default_card: str = "") -> AsyncIterator[Driver]:
    """A driver for the Stripe at `url`, with a pool of connections that lives as long as the block."""
    # At INFO it says two lines a call, which hide ours.
    logging.getLogger("stripe").setLevel(logging.WARNING)
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        client = stripe.StripeClient(
            key,
            stripe_version=_API_VERSION,
            base_addresses={"api": url},
            http_client=stripe.AIOHTTPClient(session=session, timeout=_TIMEOUT),
            max_network_retries=_RETRIES,
        )
        yield Driver(client, default_card=default_card)


@contextmanager
def _there_already(param: str) -> Iterator[None]:
    """Let it pass that somebody made it, or ended it, in the meantime."""
    try:
        yield
    except stripe.InvalidRequestError as error:
        if error.param != param:
            raise


@contextmanager
def _translated() -> Iterator[None]:
    """Stripe's errors as ours: what it refused for a reason that the caller can change, and what nobody knows."""
    try:
        yield
    except stripe.CardError as error:
        raise _declined(error) from error
    except stripe.InvalidRequestError as error:
        if error.http_status == 409:
            raise Unsure from error
        if (refusal := _refused(error)) is None:
            raise
        raise refusal from error
    except stripe.StripeError as error:
        log.warning("stripe does not answer", error=type(error).__name__, request=error.request_id or "")
        raise Unsure(spent=_is_spent(error)) from error


def _declined(error: stripe.CardError) -> Declined:
    code = (error.error.decline_code if error.error else None) or error.code or "unknown"
    return Declined(error.user_message or "The card was declined.", code=code)


def _is_spent(error: stripe.StripeError) -> bool:
    """Whether Stripe has ended this request with a failure of its own, which it now repeats for the key.

    Only a repeated answer says so: behind a first 500, or one from a proxy, the request may still be at work.
    """
    replayed = (error.headers or {}).get("Idempotent-Replayed") == "true"
    return replayed and (error.http_status or 0) >= 500


def _refused(error: stripe.InvalidRequestError) -> InvalidArgument | FailedPrecondition | None:
    """What the caller can do about it; None if nothing, because the mistake is ours."""
    param = (error.param or "").partition("[")[0]
    if field := _CALLERS_FIELDS.get(param):
        return InvalidArgument.of(field, error.user_message or "is not known", reason=f"{field.upper()}_INVALID")
    if error.code == "resource_missing" and not param:
        message = "there is no card to charge: give a payment method"
        return FailedPrecondition(message, reason="PAYMENT_METHOD_MISSING")
    return None
