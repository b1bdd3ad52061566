"""The SQL of API keys."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import ApiKey, User


async def api_keys(session: AsyncSession, user_id: str, *, limit: int, before: str) -> Sequence[ApiKey]:
    """Newest first; if `before` is not empty, only those with smaller ids."""
    found = select(ApiKey).where(ApiKey.user_id == user_id).order_by(ApiKey.id.desc()).limit(limit)
    return (await session.scalars(found.where(ApiKey.id < before) if before else found)).all()


async def count_api_keys(session: AsyncSession, user_id: str) -> int:
    return await session.scalar(select(func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id)) or 0


async def find_api_key(session: AsyncSession, digest: bytes, *, now: datetime) -> tuple[ApiKey, User] | None:
    """The key of that secret and its owner, unless it has expired or the owner is disabled."""
    alive = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
    found = select(ApiKey, User).join(User, User.id == ApiKey.user_id).where(ApiKey.digest == digest, alive)
    row = (await session.execute(found.where(User.disabled_at.is_(None)))).one_or_none()
    return row and (row[0], row[1])


async def touch_api_key(session: AsyncSession, api_key_id: str, *, now: datetime) -> None:
    """Note that a key was used."""
    await session.execute(update(ApiKey).where(ApiKey.id == api_key_id).values(last_used_at=now))


async def delete_api_key(session: AsyncSession, api_key_id: str, *, user_id: str) -> ApiKey | None:
    """The key that was deleted, if it was the user's."""
    gone = delete(ApiKey).where(ApiKey.id == api_key_id, ApiKey.user_id == user_id)
    return await session.scalar(gone.returning(ApiKey))
