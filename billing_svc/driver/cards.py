"""Cards at Stripe: which one a customer pays with, and how another one is kept."""

from stripe import V1Services

from billing_svc.driver.errors import translated
from svckit.errors import FailedPrecondition


class Cards:
    """Stripe's payment methods, and its pages where customers look after them."""

    def __init__(self, stripe: V1Services, *, default_card: str) -> None:
        self._stripe = stripe
        self._default_card = default_card

    async def default(self, customer: str) -> str:
        """The customer's default card, else the newest one. Raises FailedPrecondition PAYMENT_METHOD_MISSING."""
        with translated():
            found = await self._stripe.customers.retrieve_async(customer)
            chosen = found.invoice_settings.default_payment_method if found.invoice_settings else None
            if chosen:
                return chosen if isinstance(chosen, str) else chosen.id
            cards = await self._stripe.customers.payment_methods.list_async(customer, {"type": "card", "limit": 1})
        if not (card := cards.data[0].id if cards.data else self._default_card):
            message = "there is no card to charge: give a payment method"
            raise FailedPrecondition(message, reason="PAYMENT_METHOD_MISSING")
        return card

    async def begin_keeping(self, customer: str) -> str:
        """The client secret with which Stripe's form keeps a card for later."""
        with translated():
            intent = await self._stripe.setup_intents.create_async(
                {"customer": customer, "allowed_payment_method_types": ["card"], "usage": "off_session"}
            )
        return intent.client_secret or ""

    async def portal(self, customer: str, *, return_url: str) -> str:
        """A link to Stripe's page for that customer, good for some minutes."""
        with translated():
            session = await self._stripe.billing_portal.sessions.create_async(
                {"customer": customer, "return_url": return_url}
            )
        return session.url
