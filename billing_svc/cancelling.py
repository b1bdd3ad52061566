"""Cancelling a subscription, and taking back what was to happen to it.

Each only says how things shall be, so asking again is harmless and no row is needed before.
"""

from billing_svc import store
from billing_svc.driver.connection import Driver
from billing_svc.models import Subscription
from billing_svc.projection import Projection
from svckit.errors import FailedPrecondition, Unauthenticated
from svckit.postgres import Database

_ENDED = ("canceled", "incomplete_expired")
# Only what is paid for goes on to the end of its period.
_PAID = ("active", "trialing")


class Cancelling:
    """Ends subscriptions and takes things back, and follows Stripe at once."""

    def __init__(self, *, database: Database, driver: Driver, projection: Projection) -> None:
        self._database = database
        self._driver = driver
        self._projection = projection

    async def cancel(self, row: Subscription, *, now: bool, feedback: str) -> Subscription:
        """The subscription, ended or about to end with its period. Raises Unsure.

        `feedback`: why the customer leaves, in Stripe's word; empty when nothing was said.
        """
        if row.stripe_id is None or row.status in _ENDED:
            return row
        if now or row.status not in _PAID:
            await self._driver.subscriptions.cancel(row.stripe_id, feedback=feedback)
        else:
            await self._driver.changes.drop_unpaid(row.stripe_id)
            await self._driver.changes.end_with_period(row.stripe_id, ends=True, feedback=feedback)
        return await self._follow(row)

    async def resume(self, row: Subscription) -> Subscription:
        """The subscription without what was pending.

        Raises FailedPrecondition NOTHING_PENDING, Declined, Unauthenticated (the account was deleted) and Unsure.
        """
        changes = self._driver.changes
        if row.stripe_id is None or row.status in _ENDED:
            raise _nothing_pending()
        async with self._database.transaction() as session:
            if not await store.may_buy(session, row.user_id):
                raise Unauthenticated("the account is no more", reason="TOKEN_INVALID")
        if row.status == "paused":
            await changes.unpause(row.stripe_id)
        elif row.cancel_at_period_end:
            await changes.end_with_period(row.stripe_id, ends=False)
        elif row.pending_plan_id:
            await changes.drop_unpaid(row.stripe_id)
            await changes.release(row.stripe_id)
        else:
            raise _nothing_pending()
        return await self._follow(row)

    async def _follow(self, row: Subscription) -> Subscription:
        async with self._database.transaction() as session:
            customer = await store.customer(session, row.user_id)
        async with self._database.transaction() as session:
            await self._projection.follow(session, customer.stripe_id or "")
            return await store.subscription(session, row.id) or row


def _nothing_pending() -> FailedPrecondition:
    return FailedPrecondition("there is nothing to take back", reason="NOTHING_PENDING")
