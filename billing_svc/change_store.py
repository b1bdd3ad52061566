"""All SQL of changes of plans."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc.models import Answer, PlanChange

BEGUN = "begun"
DONE = "done"
DECLINED = "declined"


async def find(session: AsyncSession, change_id: str) -> PlanChange | None:
    return await session.get(PlanChange, change_id)


async def begun(session: AsyncSession, *, created_before: datetime) -> Sequence[PlanChange]:
    """Those that were begun before that time and have not ended, oldest first."""
    query = select(PlanChange).where(PlanChange.status == BEGUN, PlanChange.created_at < created_before)
    return (await session.scalars(query.order_by(PlanChange.created_at))).all()


async def is_charging(session: AsyncSession, user_id: str) -> bool:
    """Whether Stripe is being asked for a change of the user's that is charged at once."""
    query = select(PlanChange.id).where(PlanChange.user_id == user_id, PlanChange.status == BEGUN)
    return await session.scalar(query.where(PlanChange.later.is_(False)).limit(1)) is not None


async def end(session: AsyncSession, change_id: str, *, status: str, code: str = "", message: str = "") -> None:
    """Note how it ended."""
    one = update(PlanChange).where(PlanChange.id == change_id, PlanChange.status == BEGUN)
    await session.execute(one.values(status=status, decline_code=code, decline_message=message))


async def next_attempt(session: AsyncSession, change_id: str, *, after: int) -> None:
    """Ask Stripe with a fresh key next time; only once for each attempt that failed."""
    same = update(PlanChange).where(PlanChange.id == change_id, PlanChange.attempt == after)
    await session.execute(same.values(attempt=after + 1))


async def drop(session: AsyncSession, change_id: str) -> None:
    """Forget a change that was refused before anything was done, and the key that asked for it."""
    await session.execute(delete(Answer).where(Answer.row_id == change_id))
    await session.execute(delete(PlanChange).where(PlanChange.id == change_id, PlanChange.status == BEGUN))
