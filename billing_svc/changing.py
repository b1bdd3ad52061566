"""Changing a subscription's plan: a row of ours first, then Stripe, then our rows follow, as `subscribing` does it.

The row says what was asked for and at which date it is prorated. Whoever comes next, a repeat of the request or the
sweep, asks Stripe the same with the same idempotency key: two charges can never come of one row.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import stripe
import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import change_store, plan_changes, repeats, store, usage_store
from billing_svc.driver.changes import Quote
from billing_svc.driver.connection import Driver
from billing_svc.driver.errors import Declined, PreviewExpired, Unsure
from billing_svc.driver.subscriptions import Order
from billing_svc.models import PlanChange, Subscription
from billing_svc.money import Money
from billing_svc.plans import Interval, Plans
from billing_svc.previews import Previews, Promise
from billing_svc.projection import Projection
from billing_svc.repeats import Asked
from svckit.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, ServiceError, Unauthenticated
from svckit.ids import new_id
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_SWEEP_EVERY = timedelta(minutes=1)
# After so long nobody waits for the change any more: if Stripe has not made it, it shall not be made.
_PATIENCE = timedelta(minutes=10)
_NOTHING = Quote(0, 0, ())


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change costs and when it happens; `token` has it so.

    `tight`: the new plan includes less than the running period has used already.
    """

    quote: Quote
    effective: datetime
    token: str
    tight: bool


class Changing:
    """Previews and makes changes, and ends those that were begun and not ended."""

    def __init__(
        self, *, database: Database, driver: Driver, projection: Projection, plans: Plans, previews: Previews
    ) -> None:
        self._database = database
        self._driver = driver
        self._projection = projection
        self._plans = plans
        self._previews = previews

    async def preview(self, row: Subscription, order: Order) -> Preview:
        """What the change would charge. Raises as `plan_changes.waits` does, InvalidArgument and Unsure."""
        now = datetime.now(UTC)
        later = plan_changes.waits(row, order, plans=self._plans)
        quote = await (self._later(row, order) if later else self._driver.changes.quote(_at_stripe(row), order))
        promise = Promise.of(row, order, due_minor=quote.due_minor, date=quote.date, now=now)
        effective = row.current_period_end if later else None
        async with self._database.transaction() as session:
            period = await usage_store.current_period(session, row.user_id)
        return Preview(
            quote=quote,
            effective=effective or datetime.fromtimestamp(quote.date, UTC),
            token=self._previews.token(promise),
            tight=period is not None and period.used > order.plan.tokens_per(order.interval),
        )

    async def update(self, row: Subscription, order: Order, asked: Asked, *, token: str) -> Subscription:
        """The subscription after the change, or after the one that the same request made before.

        Raises Aborted (CHANGE_IN_PROGRESS, or PreviewExpired), Challenged, Declined, FailedPrecondition,
        InvalidArgument, Unauthenticated (the account was deleted), and Unsure when it is open whether it happened.
        """
        change = await self._earlier(asked) or await self._begin(row, order, asked, token=token)
        return await self._make(change, row)

    async def sweep(self) -> None:
        """For ever: end what a crash left, at once and every minute."""
        grace = timedelta(0)
        while True:
            await self.end_begun(older_than=grace)
            await asyncio.sleep(_SWEEP_EVERY.total_seconds())
            grace = _SWEEP_EVERY  # from now on whatever is younger is probably being worked on

    async def end_begun(self, *, older_than: timedelta) -> None:
        """Make or drop every change that was begun longer ago than that."""
        now = datetime.now(UTC)
        async with self._database.transaction() as session:
            waiting = await change_store.begun(session, created_before=now - older_than)
        for change in waiting:
            try:
                await self._end(change, give_up=now - change.created_at > _PATIENCE)
            except (ServiceError, stripe.StripeError) as error:
                log.warning("a change that was begun was not made", change=change.id, error=str(error))

    async def _earlier(self, asked: Asked) -> PlanChange | None:
        """The change of an earlier request with the same key."""
        async with self._database.transaction() as session:
            known = await repeats.known(session, asked)
            return await change_store.find(session, known.row_id) if known else None

    async def _begin(self, row: Subscription, order: Order, asked: Asked, *, token: str) -> PlanChange:
        """A row for the change, with what it costs at Stripe now or as it was promised."""
        now = datetime.now(UTC)
        later = plan_changes.waits(row, order, plans=self._plans)
        promise = self._previews.read(token, row, order, now=now) if token else None
        async with self._database.transaction() as session:
            overages = await usage_store.overages(session, row.user_id)
        quote = await (self._later(row, order) if later else self._quote(row, order, promise))
        change = _row(row, order, quote, later=later, now=now)
        try:
            async with self._database.transaction() as session:
                if not await store.may_buy(session, row.user_id):
                    raise Unauthenticated("the account is no more", reason="TOKEN_INVALID")
                if not later:
                    await _refuse_beside_overage(session, change, overages, promised=promise is not None)
                session.add(change)
                await session.flush()
                await repeats.begin(session, asked, row_id=change.id, now=now)
        except IntegrityError:
            # Another change is being made: perhaps by this very request, come twice at once.
            if earlier := await self._earlier(asked):
                return earlier
            raise Aborted("another change is being made, wait for it", reason="CHANGE_IN_PROGRESS") from None
        log.info("a plan is being changed", subscription=row.id, plan=order.plan.id, due=str(change.due), later=later)
        return change

    async def _quote(self, row: Subscription, order: Order, promise: Promise | None) -> Quote:
        quote = await self._driver.changes.quote(_at_stripe(row), order, date=promise.date if promise else None)
        if promise and promise.due_minor != quote.due_minor:
            raise PreviewExpired
        return quote

    async def _later(self, row: Subscription, order: Order) -> Quote:
        """Nothing is due yet. Stripe looks at a coupon now: nobody would be there to hear that it does not fit."""
        if order.coupon:
            await self._driver.changes.quote(_at_stripe(row), order)
        return _NOTHING

    async def _make(self, change: PlanChange, row: Subscription) -> Subscription:
        """Have Stripe make a change that was begun, and follow; the subscription as it is then."""
        if change.status == change_store.DECLINED:
            raise Declined(change.decline_message, code=change.decline_code)
        if change.status == change_store.BEGUN:
            await self._ask(change, row)
        return await self._follow(change, row)

    async def _ask(self, change: PlanChange, row: Subscription) -> None:
        try:
            await self._do(change, row)
        except Unsure as unsure:
            if unsure.spent:
                async with self._database.transaction() as session:
                    await change_store.next_attempt(session, change.id, after=change.attempt)
            raise
        except Declined as declined:
            async with self._database.transaction() as session:
                end = {"code": declined.code, "message": declined.message}
                await change_store.end(session, change.id, status=change_store.DECLINED, **end)
            raise
        except (Aborted, FailedPrecondition, InvalidArgument, stripe.InvalidRequestError):
            await self._drop(change)
            raise

    async def _do(self, change: PlanChange, row: Subscription) -> None:
        order = self._order(change)
        key = f"sub_update:{change.id}:{change.attempt}"
        if change.later:
            await self._driver.changes.later(_at_stripe(row), order, key=key)
        else:
            await self._driver.changes.now(_at_stripe(row), order, date=change.proration_date, key=key)

    async def _end(self, change: PlanChange, *, give_up: bool) -> None:
        """End a change that was left, or drop it when nobody waits for it: if Stripe has made it, a webhook says so."""
        async with self._database.transaction() as session:
            row = await store.subscription(session, change.subscription_id)
            wanted = not give_up and await store.may_buy(session, change.user_id)
        if row is None or not wanted:
            await self._drop(change)
        else:
            await self._make(change, row)
        log.warning("a change that was left has ended", change=change.id, due=str(change.due), made=wanted)

    async def _follow(self, change: PlanChange, row: Subscription) -> Subscription:
        async with self._database.transaction() as session:
            customer = await store.customer(session, change.user_id)
        async with self._database.transaction() as session:
            await self._projection.follow(session, customer.stripe_id or "")
            await change_store.end(session, change.id, status=change_store.DONE)
            return await _found(session, row.id)

    async def _drop(self, change: PlanChange) -> None:
        async with self._database.transaction() as session:
            await change_store.drop(session, change.id)

    def _order(self, change: PlanChange) -> Order:
        plan = self._plans.get(change.plan_id)
        if plan is None:
            raise InvalidArgument.of("plan_id", "there is no such plan", reason="PLAN_UNKNOWN")
        price = Money(change.amount_minor, change.currency)
        return Order(plan, cast(Interval, change.interval), price, coupon=change.coupon)


async def _refuse_beside_overage(
    session: AsyncSession, change: PlanChange, quoted: dict[str, str], *, promised: bool
) -> None:
    """Refuse a change while overage is being billed, or when some was since the quote: its invoice would take it along.

    The other way round, `metering` bills none while a change is being made; the lock of `may_buy` keeps the two apart.
    """
    overages = await usage_store.overages(session, change.user_id)
    if overages == quoted and usage_store.BEGUN not in overages.values():
        return
    if promised:
        raise PreviewExpired
    raise Aborted("usage beyond the plan is just being billed, try again", reason="CHANGE_IN_PROGRESS")


async def _found(session: AsyncSession, subscription_id: str) -> Subscription:
    if (row := await store.subscription(session, subscription_id)) is None:
        raise NotFound("no such subscription")
    return row


def _at_stripe(row: Subscription) -> str:
    if row.stripe_id is None:
        raise FailedPrecondition("the subscription is still being made", reason="NOT_CHANGEABLE")
    return row.stripe_id


def _row(row: Subscription, order: Order, quote: Quote, *, later: bool, now: datetime) -> PlanChange:
    return PlanChange(
        id=new_id(),
        user_id=row.user_id,
        subscription_id=row.id,
        status=change_store.BEGUN,
        plan_id=order.plan.id,
        interval=order.interval,
        currency=order.price.currency,
        amount_minor=order.price.minor,
        coupon=order.coupon,
        later=later,
        proration_date=quote.date,
        due_minor=quote.due_minor,
        created_at=now,
    )
