"""Subscribing a user: a row of ours first, then Stripe, then our row follows; a crash in between is found and ended.

The row that waits says what was asked for. Whoever comes next, the caller with the same key or the sweep, looks at
Stripe first and asks with the same idempotency key again: two subscriptions can never come of one row.
"""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import cast

import stripe
import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import customers, store
from billing_svc.driver.connection import Driver
from billing_svc.driver.errors import Declined, Unsure
from billing_svc.driver.subscriptions import Order
from billing_svc.models import IdempotencyKey, Subscription
from billing_svc.plans import Interval, Plans
from billing_svc.projection import Projection
from svckit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    ServiceError,
    Unauthenticated,
    Unprocessable,
)
from svckit.ids import new_id
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_SWEEP_EVERY = timedelta(minutes=1)
# After so long nobody waits for the subscription any more: if Stripe has not made it, it shall not be made.
_PATIENCE = timedelta(minutes=10)
_KEYS_KEPT = timedelta(hours=24)


class Subscribing:
    """Makes subscriptions, and ends what was begun and not ended."""

    def __init__(self, *, database: Database, driver: Driver, projection: Projection, plans: Plans) -> None:
        self._database = database
        self._driver = driver
        self._projection = projection
        self._plans = plans

    async def subscribe(self, user_id: str, order: Order, *, key: str) -> Subscription:
        """The user's new subscription, or the one that the same key and order made before.

        Raises AlreadyExists, Declined, FailedPrecondition (no card, a trial that was used), InvalidArgument (another
        currency than before; Stripe does not know what was named), Unauthenticated (the account was deleted),
        Unprocessable (the key was another order's), and Unsure when it is open whether it happened.
        """
        row, new = await self._begin(user_id, order, key=key)
        if row.status == store.PENDING:
            customer = await self._customer(user_id)
            row = await (self._make if new else self._resume)(row, order, customer)
        if row.status == store.PENDING:
            raise Unsure
        if row.status == store.DECLINED:
            raise Declined(row.decline_message, code=row.decline_code)
        return row

    async def sweep(self) -> None:
        """For ever: end what a crash left, at once and every minute."""
        grace = timedelta(0)
        while True:
            await self.end_pending(older_than=grace)
            async with self._database.transaction() as session:
                await store.drop_keys(session, created_before=datetime.now(UTC) - _KEYS_KEPT)
            await asyncio.sleep(_SWEEP_EVERY.total_seconds())
            grace = _SWEEP_EVERY  # from now on whatever is younger is probably being worked on

    async def end_pending(self, *, older_than: timedelta) -> None:
        """Make or drop every subscription that has been waiting for longer than that."""
        now = datetime.now(UTC)
        async with self._database.transaction() as session:
            waiting = await store.pending_subscriptions(session, created_before=now - older_than)
        for row in waiting:
            try:
                await self._end(row, give_up=now - row.created_at > _PATIENCE)
            except (ServiceError, stripe.StripeError) as error:
                log.warning("a waiting subscription was not made", subscription=row.id, error=str(error))

    async def _begin(self, user_id: str, order: Order, *, key: str) -> tuple[Subscription, bool]:
        """The row to go on with, and whether it is a new one or the one of the same key."""
        now = datetime.now(UTC)
        row = _row(user_id, order, now=now)
        try:
            async with self._database.transaction() as session:
                await store.add_customer(session, user_id, now=now)
                if not await store.may_buy(session, user_id):
                    raise Unauthenticated("the account is no more", reason="TOKEN_INVALID")
                if known := await self._known(session, user_id, order, key=key):
                    return known, False
                if order.trial_days and await store.had_trial(session, user_id):
                    raise FailedPrecondition("you had a trial already", reason="TRIAL_USED")
                session.add(row)
                await session.flush()
                await _refuse_other_currency(session, row)
                if key:
                    request = _fingerprint(order)
                    session.add(
                        IdempotencyKey(
                            user_id=user_id, key=key, request=request, subscription_id=row.id, created_at=now
                        )
                    )
        except IntegrityError:
            # Another subscription is there: perhaps this very request, come twice at once.
            async with self._database.transaction() as session:
                if known := await self._known(session, user_id, order, key=key):
                    return known, False
            message = "you have a subscription, or one is being made: change that one"
            raise AlreadyExists(message, reason="SUBSCRIPTION_EXISTS") from None
        return row, True

    async def _known(self, session: AsyncSession, user_id: str, order: Order, *, key: str) -> Subscription | None:
        found = await store.known_key(session, user_id, key) if key else None
        if found is None:
            return None
        if found.request != _fingerprint(order):
            message = "was used with another request"
            raise Unprocessable.of("idempotency_key", message, reason="IDEMPOTENCY_KEY_REUSED")
        return await store.subscription(session, found.subscription_id)

    async def _make(self, row: Subscription, order: Order, customer: str) -> Subscription:
        """Have Stripe make it and follow; the row as it is then, which may be a declined one."""
        try:
            await self._driver.subscriptions.create(customer, order, subscription_id=row.id, attempt=row.attempt)
        except Unsure as unsure:
            if unsure.spent:
                async with self._database.transaction() as session:
                    await store.next_attempt(session, row.id, after=row.attempt)
            raise
        except Declined as declined:
            async with self._database.transaction() as session:
                await store.decline(session, row.id, code=declined.code, message=declined.message)
            raise
        except (FailedPrecondition, InvalidArgument, stripe.InvalidRequestError):
            await self._drop(row)
            raise
        return await self._follow(row, customer)

    async def _resume(self, row: Subscription, order: Order, customer: str) -> Subscription:
        """Go on with a row that was left waiting: Stripe may have made it already, and perhaps under a spent key."""
        row = await self._follow(row, customer)
        return row if row.status != store.PENDING else await self._make(row, order, customer)

    async def _end(self, row: Subscription, *, give_up: bool) -> None:
        """End a row that was left waiting, or drop it when it is too late to make it."""
        customer = await self._customer(row.user_id)
        async with self._database.transaction() as session:
            wanted = not give_up and await store.may_buy(session, row.user_id)
        order = self._order(row) if wanted else None
        if order is not None:
            row = await self._resume(row, order, customer)
        elif (row := await self._follow(row, customer)).status == store.PENDING:
            await self._drop(row)
        log.warning("a subscription that was left waiting has ended", subscription=row.id, status=row.status)

    async def _customer(self, user_id: str) -> str:
        return await customers.at_stripe(user_id, database=self._database, driver=self._driver)

    async def _follow(self, row: Subscription, customer: str) -> Subscription:
        async with self._database.transaction() as session:
            await self._projection.follow(session, customer)
            return await store.subscription(session, row.id) or row

    async def _drop(self, row: Subscription) -> None:
        async with self._database.transaction() as session:
            await store.drop_pending(session, row.id)

    def _order(self, row: Subscription) -> Order | None:
        """What the row asked for; None when that plan is no longer there."""
        plan = self._plans.get(row.plan_id)
        if plan is None:
            return None
        interval = cast(Interval, row.interval)
        return Order(plan, interval, row.amount, card=row.payment_method, coupon=row.coupon, trial_days=row.trial_days)


async def _refuse_other_currency(session: AsyncSession, row: Subscription) -> None:
    # https://docs.stripe.com/billing/customer#currency
    if (before := await store.currency_of(session, row.user_id)) not in (None, row.currency):
        message = f"must be {before}, as in your earlier subscription: a customer pays in one currency"
        raise InvalidArgument.of("currency", message, reason="CURRENCY_FIXED")


def _row(user_id: str, order: Order, *, now: datetime) -> Subscription:
    return Subscription(
        id=new_id(),
        user_id=user_id,
        status=store.PENDING,
        plan_id=order.plan.id,
        interval=order.interval,
        currency=order.price.currency,
        amount_minor=order.price.minor,
        payment_method=order.card,
        coupon=order.coupon,
        trial_days=order.trial_days,
        created_at=now,
    )


def _fingerprint(order: Order) -> bytes:
    """Equal for equal orders; the amount is ours, not the caller's."""
    asked = [order.plan.id, order.interval, order.price.currency, order.card, order.coupon, bool(order.trial_days)]
    return hashlib.sha256(json.dumps(asked).encode()).digest()
