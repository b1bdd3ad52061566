"""All SQL of the auth service.

Who locks a user's row locks it first, before anything that hangs on it: so no two of these wait for each other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import Attempts, Letter, MailToken, RefreshToken, Session, StoredKey, User

LETTERS_CHANNEL = "auth_letters"

# --- users


async def add_user(session: AsyncSession, user: User) -> bool:
    """Keep a new user; False if the address has an account."""
    columns = {column.key: getattr(user, column.key) for column in User.__table__.columns}
    adding = insert(User).values(columns).on_conflict_do_nothing(index_elements=[User.email_key]).returning(User.id)
    return await session.scalar(adding) is not None


async def find_user(session: AsyncSession, user_id: str) -> User | None:
    return await session.get(User, user_id)


async def find_user_by_email(session: AsyncSession, email_key: str) -> User | None:
    return await session.scalar(select(User).where(User.email_key == email_key))


async def lock_user_by_email(session: AsyncSession, email_key: str) -> User | None:
    return await session.scalar(select(User).where(User.email_key == email_key).with_for_update())


async def lock_user_with_password(session: AsyncSession, user_id: str, password_hash: str) -> User | None:
    """The user, if the password is still the one of that hash."""
    unchanged = select(User).where(User.id == user_id, User.password_hash == password_hash)
    return await session.scalar(unchanged.with_for_update())


# --- mailed tokens


async def add_mail_token(session: AsyncSession, token: MailToken) -> None:
    """Keep a token; those of the user's earlier letters of that kind are void."""
    earlier = and_(MailToken.kind == token.kind, MailToken.letter_id != token.letter_id)
    await session.execute(delete(MailToken).where(MailToken.user_id == token.user_id, earlier))
    session.add(token)


async def lock_owner_of_token(session: AsyncSession, digest: bytes) -> User | None:
    owner = select(User).join(MailToken, MailToken.user_id == User.id).where(MailToken.digest == digest)
    return await session.scalar(owner.with_for_update(of=User))


async def use_mail_token(session: AsyncSession, digest: bytes, *, kind: str, now: datetime) -> bool:
    """Use a token up; False if it is unknown, used, void, expired, or of another kind."""
    used = delete(MailToken).where(MailToken.digest == digest, MailToken.kind == kind, MailToken.expires_at > now)
    return await session.scalar(used.returning(MailToken.digest)) is not None


async def void_mail_tokens(session: AsyncSession, user_id: str) -> None:
    await session.execute(delete(MailToken).where(MailToken.user_id == user_id))


# --- letters


async def add_letter(session: AsyncSession, letter: Letter) -> None:
    """Have a letter sent if the transaction commits; a sender wakes up then."""
    session.add(letter)
    await session.execute(select(func.pg_notify(LETTERS_CHANNEL, "")))


async def claim_letters(
    session: AsyncSession, *, kinds: Sequence[str], now: datetime, lease: timedelta, limit: int
) -> Sequence[Letter]:
    """Letters of those kinds to send now: nobody else gets them until the lease is over."""
    due = select(Letter.id).where(Letter.due_at <= now, Letter.kind.in_(kinds)).order_by(Letter.due_at).limit(limit)
    claimed = (
        update(Letter)
        .where(Letter.id.in_(due.with_for_update(skip_locked=True)))
        .values(due_at=now + lease, attempts=Letter.attempts + 1)
        .returning(Letter)
    )
    return (await session.scalars(claimed)).all()


async def letter_is_wanted(session: AsyncSession, letter_id: str) -> bool:
    """False once it was sent or dropped."""
    return await session.scalar(select(Letter.id).where(Letter.id == letter_id)) is not None


async def delay_letter(session: AsyncSession, letter_id: str, *, until: datetime) -> None:
    await session.execute(update(Letter).where(Letter.id == letter_id).values(due_at=until))


async def drop_letter(session: AsyncSession, letter_id: str) -> None:
    await session.execute(delete(Letter).where(Letter.id == letter_id))


async def drop_letters_to(session: AsyncSession, email_key: str, *, kind: str) -> None:
    await session.execute(delete(Letter).where(Letter.email_key == email_key, Letter.kind == kind))


# --- sessions


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


async def sessions_revoked_since(session: AsyncSession, since: datetime) -> Sequence[tuple[str, datetime]]:
    """Ids of the sessions that were revoked after that time, and when."""
    revoked = select(Session.id, Session.revoked_at).where(Session.revoked_at > since)
    return [(id_, at) for id_, at in await session.execute(revoked) if at is not None]


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


# --- attempts to sign in


async def lock_attempts(session: AsyncSession, account: bytes) -> None:
    """One transaction at a time counts an account's attempts. Whoever locks its user as well locks the user first."""
    name = f"auth:attempts:{account.hex()}"
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


async def find_attempts(session: AsyncSession, account: bytes, network: str) -> Attempts | None:
    return await session.get(Attempts, (account, network))


async def forget_attempts(session: AsyncSession, account: bytes) -> None:
    await session.execute(delete(Attempts).where(Attempts.account == account))


async def signed_in_from(session: AsyncSession, email_key: str, ip_address: str) -> bool:
    """Whether there is a session of that account that was opened from there, alive or not."""
    opened = select(Session.id).join(User, User.id == Session.user_id)
    found = opened.where(User.email_key == email_key, Session.ip_address == ip_address).limit(1)
    return await session.scalar(found) is not None


# --- signing keys


async def lock_signing_keys(session: AsyncSession) -> None:
    """One transaction at a time looks for a key and makes it."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("auth:signing_keys", 0))))


async def signing_keys(session: AsyncSession) -> Sequence[StoredKey]:
    """Newest first."""
    return (await session.scalars(select(StoredKey).order_by(StoredKey.created_at.desc(), StoredKey.kid))).all()
