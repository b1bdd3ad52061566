"""What a user may use: decided from the subscriptions, kept as a snapshot whose version grows."""

from collections.abc import Iterable

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import store
from billing_svc.models import Entitlement, Subscription
from billing_svc.plans import Limits, Plans

log = structlog.get_logger(__name__)

# A payment that is late is tried again for weeks; meanwhile the customer keeps what was bought.
_ENTITLING = ("active", "trialing", "past_due")


async def refresh(
    session: AsyncSession, user_id: str, subscriptions: Iterable[Subscription], *, plans: Plans
) -> Entitlement | None:
    """Take a new snapshot if it says something new; that one, else None.

    Who never had a subscription has no snapshot: everybody begins with the free plan, as version 0.
    """
    taken = _free(user_id, plans)
    for row in subscriptions:
        if row.status in _ENTITLING and (limits := await limits_of(session, row, plans=plans)):
            taken = _bought(row, limits)
            break
    last = await store.entitlement(session, user_id)
    if _content(taken) == _content(last or _free(user_id, plans)):
        return None
    taken.version = (last.version if last else 0) + 1
    return await session.merge(taken)


async def limits_of(session: AsyncSession, row: Subscription, *, plans: Plans) -> Limits | None:
    """What the subscription's plan includes; of one that `plans` no longer has, what it included last, if known."""
    if plan := plans.get(row.plan_id):
        return plan.limits
    last = await store.entitlement(session, row.user_id)
    kept = Limits.model_validate(last.limits) if last and last.plan_id == row.plan_id else None
    log.error("a subscription is of a plan that is no more", subscription=row.id, plan=row.plan_id, kept=bool(kept))
    return kept


def _bought(row: Subscription, limits: Limits) -> Entitlement:
    return Entitlement(
        user_id=row.user_id,
        plan_id=row.plan_id,
        status=row.status,
        limits=limits.model_dump(mode="json"),
        tokens_per_period=limits.tokens_per(row.interval),
        currency=row.currency,
        period_start=row.current_period_start,
        period_end=row.current_period_end,
    )


def _free(user_id: str, plans: Plans) -> Entitlement:
    return Entitlement(
        user_id=user_id,
        plan_id=plans.free.id,
        status="",
        limits=plans.free.limits.model_dump(mode="json"),
        tokens_per_period=plans.free.tokens_per_month,
        currency="usd",
        period_start=None,
        period_end=None,
    )


def _content(row: Entitlement) -> tuple[object, ...]:
    period = (row.tokens_per_period, row.period_start, row.period_end)
    return (row.plan_id, row.status, row.limits, row.currency, *period)
