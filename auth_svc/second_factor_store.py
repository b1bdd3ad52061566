"""The SQL of second factors. Whoever changes one holds the lock of its user."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Uuid, and_, bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import Challenge, RecoveryCode, SecondFactor, User
from svckit.statements import Driver, Statement

_CONFIRMED = and_(
    SecondFactor.user_id == bindparam("of_user", type_=Uuid(as_uuid=False)), SecondFactor.confirmed_at.is_not(None)
)
_IS_ASKED_FOR = Statement(select(SecondFactor.user_id).where(_CONFIRMED))


async def find(session: AsyncSession, user_id: str) -> SecondFactor | None:
    """The user's second factor, confirmed or not."""
    return await session.get(SecondFactor, user_id)


async def find_confirmed(session: AsyncSession, user_id: str) -> SecondFactor | None:
    """The user's second factor, if sign-in asks for it."""
    return await session.scalar(select(SecondFactor).where(_CONFIRMED), {"of_user": user_id})


async def is_asked_for(driver: Driver, user_id: str) -> bool:
    """Whether sign-in asks for the user's second factor."""
    return bool(await _IS_ASKED_FOR.rows(driver, {"of_user": user_id}))


async def remove(session: AsyncSession, user_id: str) -> None:
    """Take the second factor away, with its recovery codes and the challenges that wait for it."""
    for table in (SecondFactor, RecoveryCode, Challenge):
        await session.execute(delete(table).where(table.user_id == user_id))


# --- recovery codes


async def replace_recovery_codes(session: AsyncSession, user_id: str, digests: Sequence[bytes]) -> None:
    await session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    session.add_all(RecoveryCode(digest=digest, user_id=user_id) for digest in digests)


async def use_recovery_code(session: AsyncSession, user_id: str, digest: bytes) -> bool:
    """Use a code up; False if it is none of the user's."""
    used = delete(RecoveryCode).where(RecoveryCode.user_id == user_id, RecoveryCode.digest == digest)
    return await session.scalar(used.returning(RecoveryCode.digest)) is not None


async def count_recovery_codes(session: AsyncSession, user_id: str) -> int:
    return await session.scalar(select(func.count()).where(RecoveryCode.user_id == user_id)) or 0


# --- challenges


async def lock_challenged(session: AsyncSession, digest: bytes) -> User | None:
    """The user whose challenge it is, locked."""
    challenged = select(User).join(Challenge, Challenge.user_id == User.id).where(Challenge.digest == digest)
    return await session.scalar(challenged.with_for_update(of=User))


async def find_challenge(session: AsyncSession, digest: bytes, *, now: datetime) -> Challenge | None:
    """The challenge, if it is still good."""
    return await session.scalar(select(Challenge).where(Challenge.digest == digest, Challenge.expires_at > now))
