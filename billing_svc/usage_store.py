"""All SQL of usage: what was used, in which period it counts, and what is to be billed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from billing_svc.models import Subscription, UsagePeriod, UsageRecord

OPEN, BEGUN, BILLED, WAIVED = "open", "begun", "billed", "waived"

_ENDED = ("canceled", "incomplete_expired", "unpaid")


async def keep_record(session: AsyncSession, record: UsageRecord) -> bool:
    """Note what a piece of work used; false when it is noted already."""
    columns = ("work_id", "user_id", "quantity", "occurred_at")
    row = insert(UsageRecord).values({column: getattr(record, column) for column in columns})
    return await session.scalar(row.on_conflict_do_nothing().returning(UsageRecord.work_id)) is not None


async def count(session: AsyncSession, record: UsageRecord) -> None:
    """Count a record in its period, or, when that is closed, in the subscription's next open one; else in none."""
    user_id, occurred_at = record.user_id, record.occurred_at
    earlier = aliased(UsagePeriod)
    subscribed = exists().where(
        earlier.subscription_id == UsagePeriod.subscription_id, earlier.starts_at <= occurred_at
    )
    fitting = select(UsagePeriod.id).where(
        UsagePeriod.user_id == user_id, UsagePeriod.status == OPEN, UsagePeriod.ends_at > occurred_at, subscribed
    )
    # Of two that overlap, as after a change to a year, the one that had begun last.
    apart = func.greatest(UsagePeriod.starts_at - occurred_at, occurred_at - UsagePeriod.starts_at)
    nearest = fitting.order_by(UsagePeriod.starts_at > occurred_at, apart).limit(1)
    # Locked: one that is just being closed is waited for, and then passed over.
    period = await session.scalar(nearest.with_for_update())
    if period is None:
        return
    counted = update(UsagePeriod).where(UsagePeriod.id == period).values(used=UsagePeriod.used + record.quantity)
    await session.execute(counted)
    assigned = update(UsageRecord).where(UsageRecord.work_id == record.work_id)
    await session.execute(assigned.values(period_id=period))


async def open_period(session: AsyncSession, period: UsagePeriod) -> None:
    """Begin to count in that period; if it is open already, by what its plan includes now."""
    columns = ("id", "user_id", "subscription_id", "starts_at", "ends_at", "included", "per_1000_minor", "currency")
    values = {column: getattr(period, column) for column in columns} | {"used": 0, "status": OPEN, "overage_minor": 0}
    row = insert(UsagePeriod).values(values)
    changed = row.on_conflict_do_update(
        constraint="usage_periods_once",
        set_={name: row.excluded[name] for name in ("ends_at", "included", "per_1000_minor")},
        where=UsagePeriod.status == OPEN,
    )
    id_ = await session.scalar(changed.returning(UsagePeriod.id))
    if id_ == period.id:
        await _adopt(session, period)


async def _adopt(session: AsyncSession, period: UsagePeriod) -> None:
    """Count what was used in a new period before we heard of it."""
    within = and_(UsageRecord.occurred_at >= period.starts_at, UsageRecord.occurred_at < period.ends_at)
    mine = update(UsageRecord).where(UsageRecord.user_id == period.user_id, UsageRecord.period_id.is_(None), within)
    adopted = (await session.scalars(mine.values(period_id=period.id).returning(UsageRecord.quantity))).all()
    counted = update(UsagePeriod).where(UsagePeriod.id == period.id)
    await session.execute(counted.values(used=UsagePeriod.used + sum(adopted)))


async def current_period(session: AsyncSession, user_id: str) -> UsagePeriod | None:
    """The newest period, while the subscription that it belongs to has not ended."""
    query = select(UsagePeriod).join(Subscription, Subscription.id == UsagePeriod.subscription_id)
    mine = query.where(UsagePeriod.user_id == user_id, UsagePeriod.status == OPEN, Subscription.status.not_in(_ENDED))
    return await session.scalar(mine.order_by(UsagePeriod.starts_at.desc()).limit(1))


async def used_without_subscription(session: AsyncSession, user_id: str, *, since: datetime) -> int:
    """Tokens."""
    total = func.coalesce(func.sum(UsageRecord.quantity), 0)
    query = select(total).where(
        UsageRecord.user_id == user_id, UsageRecord.period_id.is_(None), UsageRecord.occurred_at >= since
    )
    return int(await session.scalar(query) or 0)


async def periods_to_bill(session: AsyncSession) -> Sequence[UsagePeriod]:
    """Those that another period of the subscription or its end has followed, and those whose billing was begun."""
    query = select(UsagePeriod).where(or_(UsagePeriod.status == BEGUN, and_(UsagePeriod.status == OPEN, _is_over())))
    return (await session.scalars(query.order_by(UsagePeriod.ends_at).limit(100))).all()


async def close(session: AsyncSession, period_id: str) -> None:
    """Count nothing more in a period that is over, and fix what it costs; nothing if somebody else did."""
    query = select(UsagePeriod).where(UsagePeriod.id == period_id, UsagePeriod.status == OPEN).with_for_update()
    period = await session.scalar(query)
    if period is not None:
        period.overage_minor = period.overage.minor
        period.status = BEGUN if period.overage_minor else WAIVED


async def overages(session: AsyncSession, user_id: str) -> dict[str, str]:
    """What was billed to the user, or is being billed: how each stands, by the id of its period."""
    query = select(UsagePeriod.id, UsagePeriod.status).where(UsagePeriod.user_id == user_id)
    found = await session.execute(query.where(UsagePeriod.status.in_((BEGUN, BILLED))))
    return dict(found.all())


async def settle(session: AsyncSession, period_id: str, *, status: str) -> None:
    """Note what became of a period whose billing was begun."""
    begun = update(UsagePeriod).where(UsagePeriod.id == period_id, UsagePeriod.status == BEGUN)
    await session.execute(begun.values(status=status))


def _is_over() -> ColumnElement[bool]:
    """By Stripe's time, not ours: a next period is there, or the subscription has ended."""
    later = aliased(UsagePeriod)
    followed = exists().where(
        later.subscription_id == UsagePeriod.subscription_id, later.starts_at > UsagePeriod.starts_at
    )
    ended = exists().where(Subscription.id == UsagePeriod.subscription_id, Subscription.status.in_(_ENDED))
    return or_(followed, ended)
