"""Invoice items at Stripe: what was used beyond a plan, on the subscription's next invoice."""

from dataclasses import dataclass
from datetime import datetime

from stripe import V1Services

from billing_svc.driver.errors import translated
from billing_svc.money import Money

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Overage:
    """What is billed: so many tokens beyond, in that period."""

    amount: Money
    tokens: int
    start: datetime
    end: datetime


class Overages:
    """Stripe's invoice items, as far as they are for overage."""

    def __init__(self, stripe: V1Services) -> None:
        self._stripe = stripe

    async def add(self, customer: str, subscription: str, overage: Overage, *, period_id: str, attempt: int) -> None:
        """Have it on the next invoice; our row's id goes along, so that it is found again."""
        with translated():
            await self._stripe.invoice_items.create_async(
                {
                    "customer": customer,
                    "subscription": subscription,
                    "amount": overage.amount.minor,
                    "currency": overage.amount.currency,
                    "description": f"{overage.tokens:,} tokens beyond the plan",
                    "discountable": False,
                    "period": {"start": int(overage.start.timestamp()), "end": int(overage.end.timestamp())},
                    "metadata": {"period_id": period_id},
                },
                {"idempotency_key": f"overage:{period_id}:{attempt}"},
            )

    async def periods_of(self, customer: str) -> set[str]:
        """The ids of our rows that the customer has items for."""
        with translated():
            found = await self._stripe.invoice_items.list_async({"customer": customer, "limit": _PAGE})
            return {
                period
                async for each in found.auto_paging_iter()
                if each.metadata and (period := each.metadata.to_dict().get("period_id"))
            }
