"""Events at Stripe: what it would have told, for those who did not hear it."""

from stripe import V1Services

from billing_svc.driver.errors import translated

_PAGE = 100


class Events:
    """Stripe's events, which it keeps for 30 days."""

    def __init__(self, stripe: V1Services) -> None:
        self._stripe = stripe

    async def customers_since(self, moment: float) -> set[str]:
        """The customers that something happened to since then (Unix seconds)."""
        found: set[str] = set()
        with translated():
            listed = await self._stripe.events.list_async({"limit": _PAGE})
            async for event in listed.auto_paging_iter():  # newest first
                if event.created < moment:
                    break
                customer = event.data.object.to_dict().get("customer")
                if isinstance(customer, str):
                    found.add(customer)
        return found
