"""Charging a user once: a row of ours first, then Stripe, then our row follows, as `subscribing` does it.

The row that was begun says what was asked for. Whoever comes next, a repeat of the request or the sweep, looks at
Stripe first and asks with the same idempotency key again: two charges can never come of one row.
"""

from datetime import UTC, datetime, timedelta

import stripe
import structlog

from billing_svc import customers, payment_store, repeats, store
from billing_svc.driver.connection import Driver
from billing_svc.driver.errors import Declined, Unsure
from billing_svc.driver.payments import Charge
from billing_svc.models import Payment
from billing_svc.payment_store import BEGUN
from billing_svc.projection import Projection
from billing_svc.repeats import Asked
from svckit.errors import FailedPrecondition, InvalidArgument, NotFound, ServiceError, Unauthenticated
from svckit.ids import new_id
from svckit.postgres import Database

log = structlog.get_logger(__name__)

# After so long nobody waits for the payment any more: if Stripe has not made it, it shall not be made.
_PATIENCE = timedelta(minutes=10)


class Paying:
    """Makes payments, and ends what was begun and not ended."""

    def __init__(self, *, database: Database, driver: Driver, projection: Projection) -> None:
        self._database = database
        self._driver = driver
        self._projection = projection

    async def pay(self, charge: Charge, asked: Asked) -> Payment:
        """The payment of this request, or the one that the same request made before; it may wait for its user to act.

        Raises Declined, FailedPrecondition (no card), InProgress, InvalidArgument (the key was another request's;
        Stripe does not take what was named), Unauthenticated (the account was deleted), and Unsure when it is open
        whether it happened.
        """
        row, new = await self._begin(charge, asked)
        if row.status == BEGUN:
            customer = await self._customer(row)
            row = await (self._make if new else self._resume)(row, customer)
        if row.status == BEGUN:
            raise Unsure
        if row.decline_code:
            raise Declined(row.decline_message, code=row.decline_code)
        return row

    async def confirm(self, user_id: str, payment_id: str) -> Payment:
        """The user's payment as Stripe has it now. Raises NotFound and Unsure."""
        async with self._database.transaction() as session:
            row = await payment_store.find_payment(session, payment_id, user_id=user_id)
            customer = await store.customer(session, user_id) if row else None
        if row is None or customer is None:
            raise NotFound("no such payment")
        return await self._follow(row, customer.stripe_id) if customer.stripe_id else row

    async def end_begun(self, *, older_than: timedelta) -> None:
        """Make or give up every payment that was begun longer ago than that."""
        now = datetime.now(UTC)
        async with self._database.transaction() as session:
            waiting = await payment_store.begun(session, Payment, created_before=now - older_than)
        for row in waiting:
            try:
                await self._end(row, give_up=now - row.created_at > _PATIENCE)
            except (ServiceError, stripe.StripeError) as error:
                log.warning("a payment that was begun has not ended", payment=row.id, error=str(error))

    async def _begin(self, charge: Charge, asked: Asked) -> tuple[Payment, bool]:
        """The row to go on with, and whether it is a new one or the one of an earlier request."""
        now = datetime.now(UTC)
        row = _row(asked.user_id, charge, now=now)
        async with self._database.transaction() as session:
            await store.add_customer(session, asked.user_id, now=now)
            if not await store.may_buy(session, asked.user_id):
                raise Unauthenticated("the account is no more", reason="TOKEN_INVALID")
            if await repeats.begin(session, asked, row_id=row.id, now=now):
                session.add(row)
                return row, True
            return await repeats.earlier(session, Payment, asked, now=now), False

    async def _make(self, row: Payment, customer: str) -> Payment:
        """Have Stripe charge and follow; the row as it is then, which may be a declined one."""
        try:
            card = row.payment_method or await self._choose_card(row, customer)
            charge = Charge(row.amount, card, row.description)
            await self._driver.payments.charge(customer, charge, payment_id=row.id, attempt=row.attempt)
        except Unsure as unsure:
            async with self._database.transaction() as session:
                await payment_store.let_go(session, row, spent=unsure.spent)
            raise
        except Declined as declined:
            # Stripe keeps a declined payment, and it is followed; a card that is refused before there is one is not.
            row = await self._follow(row, customer)
            async with self._database.transaction() as session:
                await payment_store.fail_payment(session, row.id, code=declined.code, message=declined.message)
            raise
        except (FailedPrecondition, InvalidArgument, stripe.InvalidRequestError):
            async with self._database.transaction() as session:
                await payment_store.drop_payment(session, row.id)
            raise
        return await self._follow(row, customer)

    async def _choose_card(self, row: Payment, customer: str) -> str:
        card = await self._driver.cards.default(customer)
        async with self._database.transaction() as session:
            await payment_store.keep_card(session, row.id, card)
        return card

    async def _resume(self, row: Payment, customer: str) -> Payment:
        """Go on with a row that was left: Stripe may have charged already, and perhaps under a spent key."""
        row = await self._follow(row, customer)
        return row if row.status != BEGUN else await self._make(row, customer)

    async def _end(self, row: Payment, *, give_up: bool) -> None:
        """End a row that was left, or give it up when it is too late to charge anybody."""
        customer = await self._customer(row)
        async with self._database.transaction() as session:
            wanted = not give_up and await store.may_buy(session, row.user_id)
        if wanted:
            row = await self._resume(row, customer)
        elif (row := await self._follow(row, customer)).status == BEGUN:
            async with self._database.transaction() as session:
                await payment_store.fail_payment(session, row.id, code="abandoned", message="It was given up.")
        log.warning("a payment that was begun has ended", payment=row.id, amount=str(row.amount), status=row.status)

    async def _customer(self, row: Payment) -> str:
        return await customers.at_stripe(row.user_id, database=self._database, driver=self._driver)

    async def _follow(self, row: Payment, customer: str) -> Payment:
        async with self._database.transaction() as session:
            await self._projection.follow(session, customer)
            return await payment_store.find(session, Payment, row.id) or row


def _row(user_id: str, charge: Charge, *, now: datetime) -> Payment:
    return Payment(
        id=new_id(),
        user_id=user_id,
        status=BEGUN,
        currency=charge.amount.currency,
        amount_minor=charge.amount.minor,
        description=charge.description,
        payment_method=charge.card,
        busy_until=now + repeats.LEASE,
        created_at=now,
    )
