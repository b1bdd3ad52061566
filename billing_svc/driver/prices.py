"""Prices at Stripe: made from the plans when they are needed first."""

from stripe import V1Services

from billing_svc.driver.errors import Unsure, there_already, translated
from billing_svc.money import Money
from billing_svc.plans import Interval, Plan


class Prices:
    """Stripe's prices, as far as they were asked for."""

    def __init__(self, stripe: V1Services) -> None:
        self._stripe = stripe
        self._known: dict[str, str] = {}

    async def of_plan(self, plan: Plan, interval: Interval, amount: Money) -> str:
        """The id of Stripe's price, made with its product when it is needed first.

        Prices never change at Stripe, so the amount is part of the lookup key: a new amount is a new price.
        """
        key = f"{plan.id}_{interval}_{amount.currency}_{amount.minor}"
        if key not in self._known:
            with translated():
                self._known[key] = await self._find(key) or await self._make(key, plan, interval, amount)
        return self._known[key]

    async def _find(self, lookup_key: str) -> str | None:
        found = await self._stripe.prices.list_async({"lookup_keys": [lookup_key], "limit": 1})
        return found.data[0].id if found.data else None

    async def _make(self, lookup_key: str, plan: Plan, interval: Interval, amount: Money) -> str:
        product = f"chatmesh_{plan.id}"
        with there_already("id"):
            await self._stripe.products.create_async({"id": product, "name": plan.name})
        with there_already("lookup_key"):
            made = await self._stripe.prices.create_async(
                {
                    "product": product,
                    "lookup_key": lookup_key,
                    "unit_amount": amount.minor,
                    "currency": amount.currency,
                    "recurring": {"interval": interval},
                    "metadata": {"plan_id": plan.id},
                }
            )
            return made.id
        # Another replica was faster.
        if (found := await self._find(lookup_key)) is None:
            raise Unsure
        return found
