"""The SQL of the keys that sign access tokens."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import StoredKey

KEYS_CHANNEL = "auth_signing_keys"


async def lock_signing_keys(session: AsyncSession) -> None:
    """One transaction at a time looks for a key and makes it."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("auth:signing_keys", 0))))


async def signing_keys(session: AsyncSession) -> Sequence[StoredKey]:
    """The one that signs last, or will, first."""
    return (await session.scalars(select(StoredKey).order_by(StoredKey.active_at.desc(), StoredKey.kid))).all()


async def add_signing_key(session: AsyncSession, key: StoredKey) -> None:
    """Keep a key; replicas read them again when the transaction commits."""
    session.add(key)
    await session.execute(select(func.pg_notify(KEYS_CHANNEL, "")))


async def drop_signing_keys(session: AsyncSession, kids: Sequence[str]) -> None:
    await session.execute(delete(StoredKey).where(StoredKey.kid.in_(kids)))
