"""All SQL of the auth service.

Who locks a user's row locks it first, before anything that hangs on it: so no two of these wait for each other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import TypeAlias

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, inspect, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from auth_svc.models import (
    ApiKey,
    AuditEvent,
    Base,
    Ending,
    Letter,
    Mailing,
    MailToken,
    RefreshToken,
    Session,
    StoredKey,
    User,
)
from svckit.identity import Role
from svckit.ids import new_id

LETTERS_CHANNEL = "auth_letters"
KEYS_CHANNEL = "auth_signing_keys"
USERS_CHANNEL = "auth_users"  # a trigger of the table notifies

Times: TypeAlias = InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]


async def add_at_once(session: AsyncSession, *rows: Base) -> None:
    """Keep new rows, one of each table, in one statement; one may refer to another of them."""
    values = {
        f"{row.__tablename__}_{column.key}": getattr(row, column.key)
        for row in rows
        for column in row.__table__.columns
    }
    await session.execute(_adding(*(type(row) for row in rows)), values)


@cache
def _adding(*models: type[Base]) -> Insert:
    """Made once for each choice of tables: making it takes longer than what PostgreSQL does with it."""
    last, *others = (
        insert(model).values(
            {c.key: bindparam(f"{model.__tablename__}_{c.key}", type_=c.type) for c in model.__table__.columns}
        )
        for model in models
    )
    return last.add_cte(*(other.cte() for other in others))


async def delete_before(session: AsyncSession, column: Times, moment: datetime, *, limit: int) -> int:
    """Delete rows whose time in that column is before `moment`, `limit` of them at most; how many those were."""
    key = inspect(column.class_).primary_key
    old = select(*key).where(column < moment).limit(limit)
    deleted = delete(column.class_).where(tuple_(*key).in_(old)).returning(key[0])
    return len((await session.scalars(deleted)).all())


# --- users


async def add_user(session: AsyncSession, user: User) -> bool:
    """Keep a new user; False if the address has an account."""
    columns = {column.key: getattr(user, column.key) for column in User.__table__.columns}
    adding = insert(User).values(columns).on_conflict_do_nothing(index_elements=[User.email_key]).returning(User.id)
    return await session.scalar(adding) is not None


async def find_user(session: AsyncSession, user_id: str) -> User | None:
    return await session.get(User, user_id)


async def lock_user(session: AsyncSession, user_id: str) -> User | None:
    return await session.scalar(select(User).where(User.id == user_id).with_for_update())


async def lock_user_by_email(session: AsyncSession, email_key: str) -> User | None:
    return await session.scalar(select(User).where(User.email_key == email_key).with_for_update())


_UNCHANGED = (
    select(User)
    .where(User.id == bindparam("id", type_=User.id.type), User.password_hash == bindparam("hash"))
    .with_for_update()
)


async def lock_user_with_password(session: AsyncSession, user_id: str, password_hash: str) -> User | None:
    """The user, if the password is still the one of that hash."""
    return await session.scalar(_UNCHANGED, {"id": user_id, "hash": password_hash})


async def rename_user(session: AsyncSession, user_id: str, name: str) -> None:
    await session.execute(update(User).where(User.id == user_id).values(name=name))


async def users(session: AsyncSession, *, containing: str, limit: int, before: str) -> Sequence[User]:
    """Newest first, whose address or name has that text in any case; if `before` is not empty, with smaller ids."""
    found = select(User).order_by(User.id.desc()).limit(limit)
    if containing:
        found = found.where(or_(*(c.icontains(containing, autoescape=True) for c in (User.email, User.name))))
    return (await session.scalars(found.where(User.id < before) if before else found)).all()


async def lock_administrators(session: AsyncSession) -> None:
    """One transaction at a time may take an administrator away. Before the lock of any user."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("auth:administrators", 0))))


async def other_administrators(session: AsyncSession, user_id: str) -> int:
    """How many can administer, besides that user."""
    able = and_(User.role == Role.ADMIN, User.disabled_at.is_(None), User.verified_at.is_not(None))
    return await session.scalar(select(func.count()).select_from(User).where(able, User.id != user_id)) or 0


async def delete_user(session: AsyncSession, user: User) -> None:
    """Delete an account with all that hangs on it; letters to it as well."""
    await session.execute(delete(Letter).where(Letter.email_key == user.email_key))
    await session.execute(delete(User).where(User.id == user.id))


async def delete_unverified(session: AsyncSession, before: datetime, *, limit: int) -> list[str]:
    """Delete accounts from before that time whose address was never verified; the ids of some of them."""
    old = select(User.id).where(User.verified_at.is_(None), User.created_at < before).limit(limit)
    gone = delete(User).where(User.id.in_(old.with_for_update(skip_locked=True)), User.verified_at.is_(None))
    return list(await session.scalars(gone.returning(User.id)))


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


async def put_off_letter(session: AsyncSession, letter: Letter, *, until: datetime) -> None:
    """Send it later, and take it for that much younger."""
    later = letter.expires_at + (until - letter.created_at)
    await session.execute(update(Letter).where(Letter.id == letter.id).values(due_at=until, expires_at=later))


async def another_letter_waits(session: AsyncSession, letter: Letter) -> bool:
    """Whether the same account has another letter of the same kind to come."""
    same = select(Letter.id).where(Letter.email_key == letter.email_key, Letter.kind == letter.kind)
    return await session.scalar(same.where(Letter.id != letter.id).limit(1)) is not None


async def mailings_since(session: AsyncSession, email_key: str, since: datetime) -> Sequence[Mailing]:
    """Letters that were written to an address after that time, oldest first."""
    written = select(Mailing).where(Mailing.email_key == email_key, Mailing.written_at > since)
    return (await session.scalars(written.order_by(Mailing.written_at))).all()


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


# --- API keys


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


# --- audit events


async def audit_events(
    session: AsyncSession, *, user_id: str, type_: str, limit: int, before: str
) -> Sequence[AuditEvent]:
    """Newest first; each text that is not empty narrows the list, `before` to those with smaller ids."""
    narrowed = [
        condition
        for text, condition in (
            (user_id, AuditEvent.user_id == user_id),
            (type_, AuditEvent.type == type_),
            (before, AuditEvent.id < before),
        )
        if text
    ]
    return (
        await session.scalars(select(AuditEvent).where(*narrowed).order_by(AuditEvent.id.desc()).limit(limit))
    ).all()


# --- signing keys


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
