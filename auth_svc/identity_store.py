"""The SQL of identities. Whoever changes one holds the lock of its user."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import Identity


async def find(session: AsyncSession, issuer: str, subject: str) -> Identity | None:
    return await session.scalar(select(Identity).where(Identity.issuer == issuer, Identity.subject == subject))


async def of_user(session: AsyncSession, user_id: str) -> Sequence[Identity]:
    """Oldest first."""
    return (await session.scalars(select(Identity).where(Identity.user_id == user_id).order_by(Identity.id))).all()


async def touch(session: AsyncSession, identity_id: str, *, now: datetime) -> bool:
    """Note that it was signed in with; False if it is no more."""
    used = update(Identity).where(Identity.id == identity_id).values(last_used_at=now)
    return await session.scalar(used.returning(Identity.id)) is not None


async def add(session: AsyncSession, identity: Identity) -> bool:
    """Keep an identity; False if it is somebody's already, or its user has another one of that issuer."""
    columns = {column.key: getattr(identity, column.key) for column in Identity.__table__.columns}
    return (
        await session.scalar(insert(Identity).values(columns).on_conflict_do_nothing().returning(Identity.id))
        is not None
    )
