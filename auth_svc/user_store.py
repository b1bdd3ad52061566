"""The SQL of users.

Who locks a user's row locks it first, before anything that hangs on it: so no two of these wait for each other.
"""

from collections.abc import Sequence
from datetime import datetime

from psycopg.rows import DictRow
from sqlalchemy import and_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import Letter, User
from svckit.identity import Role
from svckit.statements import Driver, Statement

USERS_CHANNEL = "auth_users"  # a trigger of the table notifies


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


_UNCHANGED = Statement(
    select(User)
    .where(User.id == bindparam("id", type_=User.id.type), User.password_hash == bindparam("hash"))
    .with_for_update()
)
_REHASHED = Statement(
    update(User)
    .where(User.id == bindparam("of_user", type_=User.id.type))
    .values(password_hash=bindparam("hash", type_=User.password_hash.type))
)


async def lock_user_with_password(driver: Driver, user_id: str, password_hash: str) -> User | None:
    """The user, if the password is still the one of that hash."""
    rows = await _UNCHANGED.rows(driver, {"id": user_id, "hash": password_hash})
    return user_of(rows[0]) if rows else None


async def replace_password_hash(driver: Driver, user_id: str, password_hash: str) -> None:
    await _REHASHED.run(driver, {"of_user": user_id, "hash": password_hash})


def user_of(row: DictRow) -> User | None:
    """The user whose columns the row has; None where an outer join found none."""
    return User(**row | {"id": str(row["id"])}) if row["id"] else None


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
