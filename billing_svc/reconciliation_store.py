"""All SQL of reconciling."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc.models import Customer, Reconciliation

_PAGE = 100


async def last_run(session: AsyncSession, kind: str) -> datetime | None:
    """When the last run of that kind that came to its end was begun."""
    return await session.scalar(select(Reconciliation.begun_at).where(Reconciliation.kind == kind))


async def note_run(session: AsyncSession, kind: str, *, at: datetime) -> None:
    row = insert(Reconciliation).values(kind=kind, begun_at=at)
    await session.execute(row.on_conflict_do_update(index_elements=["kind"], set_={"begun_at": at}))


async def customers_page(session: AsyncSession, *, after: str) -> Sequence[Customer]:
    """The next customers, in the order of their ids."""
    query = select(Customer).order_by(Customer.user_id).limit(_PAGE)
    if after:
        query = query.where(Customer.user_id > after)
    return (await session.scalars(query)).all()
