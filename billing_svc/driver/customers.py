"""Customers at Stripe: one for each user."""

from stripe import V1Services

from billing_svc.driver.errors import translated


class Customers:
    """Stripe's customers."""

    def __init__(self, stripe: V1Services) -> None:
        self._stripe = stripe

    async def of_user(self, user_id: str) -> str:
        """The id of the user's customer, made when it is asked for first."""
        with translated():
            made = await self._stripe.customers.create_async(
                {"metadata": {"user_id": user_id}}, {"idempotency_key": f"customer_create:{user_id}"}
            )
        return made.id
