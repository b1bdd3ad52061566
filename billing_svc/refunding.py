"""Giving money back: reserved in our rows first, so that refunds together never exceed the payment; then Stripe.

Two administrators at once, a repeat of the request and the sweep after a crash all ask with keys made from our rows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import stripe
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import payment_store, repeats, store
from billing_svc.driver.connection import Driver
from billing_svc.driver.errors import Unsure
from billing_svc.models import Payment, Refund
from billing_svc.money import Money
from billing_svc.payment_store import BEGUN
from billing_svc.projection import Projection
from billing_svc.repeats import Asked
from svckit.errors import FailedPrecondition, FieldViolation, NotFound, ServiceError
from svckit.ids import new_id
from svckit.postgres import Database

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be given back; 0 minor units are all that is left."""

    payment_id: str
    amount_minor: int
    reason: str = ""


class Refunding:
    """Makes refunds, and ends what was begun and not ended."""

    def __init__(self, *, database: Database, driver: Driver, projection: Projection) -> None:
        self._database = database
        self._driver = driver
        self._projection = projection

    async def refund(self, wanted: Wanted, asked: Asked) -> tuple[Payment, Refund]:
        """The payment after the refund, and the refund: a new one, or that of the same request before.

        Raises NotFound, FailedPrecondition (nothing was paid, too much, Stripe refuses), InProgress, InvalidArgument
        (the key was another request's), and Unsure when it is open whether it happened.
        """
        row, new = await self._begin(wanted, asked)
        if row.status == BEGUN:
            row = await (self._make if new else self._resume)(row)
        if row.status == BEGUN:
            raise Unsure
        if row.failure:
            raise FailedPrecondition(row.failure, reason="REFUND_REFUSED")
        return await self._payment(row), row

    async def end_begun(self, *, older_than: timedelta) -> None:
        """Make every refund that was begun longer ago than that."""
        async with self._database.transaction() as session:
            waiting = await payment_store.begun(session, Refund, created_before=datetime.now(UTC) - older_than)
        for row in waiting:
            try:
                ended = await self._resume(row)
            except (ServiceError, stripe.StripeError) as error:
                log.warning("a refund that was begun has not ended", refund=row.id, error=str(error))
            else:
                log.warning(
                    "a refund that was begun has ended", refund=row.id, amount=str(row.amount), status=ended.status
                )

    async def _begin(self, wanted: Wanted, asked: Asked) -> tuple[Refund, bool]:
        """The row to go on with, and whether it is a new one or the one of an earlier request."""
        now, id_ = datetime.now(UTC), new_id()
        async with self._database.transaction() as session:
            if not await repeats.begin(session, asked, row_id=id_, now=now):
                return await repeats.earlier(session, Refund, asked, now=now), False
            amount = await _reserved(session, wanted)
            row = Refund(
                id=id_,
                payment_id=wanted.payment_id,
                status=BEGUN,
                currency=amount.currency,
                amount_minor=amount.minor,
                reason=wanted.reason,
                busy_until=now + repeats.LEASE,
                created_at=now,
            )
            session.add(row)
        log.info("a refund was begun", refund=id_, payment=wanted.payment_id, amount=str(amount), by=asked.user_id)
        return row, True

    async def _make(self, row: Refund) -> Refund:
        """Have Stripe give it back and follow; the row as it is then."""
        payment = await self._payment(row)
        try:
            await self._driver.payments.refund(
                payment.stripe_id or "", row.amount_minor, reason=row.reason, refund_id=row.id, attempt=row.attempt
            )
        except Unsure as unsure:
            async with self._database.transaction() as session:
                await payment_store.let_go(session, row, spent=unsure.spent)
            raise
        except FailedPrecondition as refused:
            async with self._database.transaction() as session:
                await payment_store.fail_refund(session, row, why=refused.message)
            raise
        return await self._follow(row)

    async def _resume(self, row: Refund) -> Refund:
        """Go on with a row that was left: Stripe may have given it back already."""
        row = await self._follow(row)
        return row if row.status != BEGUN else await self._make(row)

    async def _payment(self, row: Refund) -> Payment:
        async with self._database.transaction() as session:
            return await session.get_one(Payment, row.payment_id)

    async def _follow(self, row: Refund) -> Refund:
        payment = await self._payment(row)
        async with self._database.transaction() as session:
            customer = await store.customer(session, payment.user_id)
        async with self._database.transaction() as session:
            await self._projection.follow(session, customer.stripe_id or "")
            return await session.get_one(Refund, row.id)


async def _reserved(session: AsyncSession, wanted: Wanted) -> Money:
    """How much is given back, counted against the payment from now on."""
    payment = await payment_store.lock_payment(session, wanted.payment_id)
    if payment is None:
        raise NotFound("no such payment")
    if payment.status != "succeeded":
        raise FailedPrecondition("nothing was paid that could be given back", reason="PAYMENT_NOT_PAID")
    left = Money(payment.amount_minor - payment.refunded_minor, payment.currency)
    amount = Money(wanted.amount_minor or left.minor, payment.currency)
    if not amount.minor or not await payment_store.reserve(session, payment.id, amount.minor):
        problem = FieldViolation("amount_minor", f"of this payment, {left} is left to give back", "REFUND_TOO_LARGE")
        raise FailedPrecondition(
            f"{problem.field}: {problem.description}",
            reason=problem.reason,
            metadata={"left_minor": str(left.minor)},
            violations=[problem],
        )
    return amount
