"""The SQL of sessions and their refresh tokens, and of what else access tokens end with."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import ApiKey, Ending, RefreshToken, Session, User
from svckit.ids import new_id


def _alive(now: datetime) -> ColumnElement[bool]:
    return and_(Session.revoked_at.is_(None), Session.expires_at > now)


async def find_session(session: AsyncSession, token_digest: bytes, *, now: datetime) -> tuple[Session, User] | None:
    """The living session of that token and its user, unless the user is disabled."""
    found = select(Session, User).join(User, User.id == Session.user_id)
    alive = found.where(Session.token_digest == token_digest, _alive(now), User.disabled_at.is_(None))
    row = (await session.execute(alive)).one_or_none()
    return row and (row[0], row[1])


async def find_own_session(session: AsyncSession, session_id: str, *, user_id: str, now: datetime) -> Session | None:
    found = select(Session).where(Session.id == session_id, Session.user_id == user_id, _alive(now))
    return await session.scalar(found)


async def living_sessions(
    session: AsyncSession, user_id: str, *, now: datetime, limit: int, before: str
) -> Sequence[Session]:
    """Newest first; if `before` is not empty, only those with smaller ids."""
    found = select(Session).where(Session.user_id == user_id, _alive(now)).order_by(Session.id.desc()).limit(limit)
    return (await session.scalars(found.where(Session.id < before) if before else found)).all()


async def sessions_of(session: AsyncSession, user_id: str, *, limit: int) -> Sequence[Session]:
    """Newest first, ended ones included."""
    found = select(Session).where(Session.user_id == user_id).order_by(Session.id.desc()).limit(limit)
    return (await session.scalars(found)).all()


async def touch_session(session: AsyncSession, session_id: str, *, now: datetime, expires_at: datetime) -> None:
    """Note that a session was used."""
    touched = update(Session).where(Session.id == session_id, _alive(now))
    await session.execute(touched.values(last_seen_at=now, expires_at=expires_at))


async def revoke_session(session: AsyncSession, session_id: str, *, user_id: str, now: datetime) -> bool:
    """End a session; False if it has ended already, or is not the user's."""
    ending = update(Session).where(Session.id == session_id, Session.user_id == user_id, _alive(now))
    return await session.scalar(ending.values(revoked_at=now).returning(Session.id)) is not None


async def revoke_sessions_of(session: AsyncSession, user_id: str, *, now: datetime, keep: str = "") -> Sequence[str]:
    """End all sessions of a user, but the one with the id `keep`; the ids of those that were alive."""
    ending = update(Session).where(Session.user_id == user_id, _alive(now))
    if keep:
        ending = ending.where(Session.id != keep)
    return (await session.scalars(ending.values(revoked_at=now).returning(Session.id))).all()


async def end_access(session: AsyncSession, user_id: str, *, now: datetime) -> Sequence[str]:
    """End all sessions of a user, and the access tokens of the API keys, which stay; the ids of what was ended."""
    ended = list(await revoke_sessions_of(session, user_id, now=now))
    of_keys = []
    for key in await session.scalars(select(ApiKey).where(ApiKey.user_id == user_id).with_for_update()):
        of_keys.append(key.session_id)
        key.session_id = new_id()
    await add_endings(session, of_keys, now=now)
    return ended + of_keys


async def add_endings(session: AsyncSession, session_ids: Sequence[str], *, now: datetime) -> None:
    """Note that access tokens with those `sid`s do not count any more."""
    if session_ids:
        ended = [{"session_id": id_, "ended_at": now} for id_ in session_ids]
        await session.execute(insert(Ending).values(ended).on_conflict_do_nothing())


async def ended_since(session: AsyncSession, since: datetime) -> Sequence[tuple[str, datetime]]:
    """The `sid`s whose access tokens were ended after that time, and when."""
    revoked = select(Session.id, Session.revoked_at).where(Session.revoked_at > since)
    others = select(Ending.session_id, Ending.ended_at).where(Ending.ended_at > since)
    return [(id_, at) for id_, at in await session.execute(revoked.union_all(others)) if at is not None]


# --- refresh tokens


async def lock_session_of_refresh_token(session: AsyncSession, digest: bytes, *, now: datetime) -> Session | None:
    """The living session that the token is of."""
    owner = select(Session).join(RefreshToken, RefreshToken.session_id == Session.id)
    return await session.scalar(owner.where(RefreshToken.digest == digest, _alive(now)).with_for_update(of=Session))


async def find_refresh_token(session: AsyncSession, digest: bytes) -> RefreshToken | None:
    return await session.get(RefreshToken, digest)


async def forget_salts(session: AsyncSession, session_id: str, *, used_before: datetime) -> None:
    """From here on nobody can tell the successors of the session's tokens that were used before that time."""
    used = update(RefreshToken).where(RefreshToken.session_id == session_id, RefreshToken.used_at < used_before)
    await session.execute(used.values(salt=None))
