"""The SQL of attempts to sign in.

Everybody takes the counters of an account in one order, that of the account alone last: so no two wait for each other.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import case, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import Attempts, Session, User


async def count(
    session: AsyncSession,
    account: bytes,
    free: Mapping[str, int],
    *,
    now: datetime,
    memory: timedelta,
    longest: timedelta,
) -> Sequence[str]:
    """Count an attempt for each network that need not wait, with what is `free` there; for which ones it was.

    The n-th beyond those makes the next wait 2^n seconds. What was before `memory` does not count any more.
    """
    fresh = [
        {"account": account, "network": network, "count": 1, "last_at": now, "blocked_until": now} for network in free
    ]
    counted = case((Attempts.last_at < now - memory, 1), else_=Attempts.count + 1)
    over = counted - case(free, value=Attempts.network)
    wait = func.least(func.power(2, func.least(over, 20)), longest.total_seconds())
    until = case((over < 0, now), else_=literal(now) + func.make_interval(0, 0, 0, 0, 0, 0, wait))
    counting = (
        insert(Attempts)
        .values(fresh)
        .on_conflict_do_update(
            index_elements=[Attempts.account, Attempts.network],
            set_={"count": counted, "last_at": now, "blocked_until": until},
            where=Attempts.blocked_until <= now,
        )
    )
    return (await session.scalars(counting.returning(Attempts.network))).all()


async def blocked_until(session: AsyncSession, account: bytes, networks: Sequence[str]) -> Sequence[datetime]:
    found = select(Attempts.blocked_until).where(Attempts.account == account, Attempts.network.in_(networks))
    return (await session.scalars(found)).all()


async def take_back(session: AsyncSession, account: bytes, *, network: str) -> None:
    counter = update(Attempts).where(Attempts.account == account, Attempts.network == network, Attempts.count > 0)
    await session.execute(counter.values(count=Attempts.count - 1))


async def forget(session: AsyncSession, account: bytes, *, network: str) -> None:
    await session.execute(delete(Attempts).where(Attempts.account == account, Attempts.network == network))


async def forget_others(session: AsyncSession, account: bytes, *, network: str) -> None:
    """Forget those of all the other networks."""
    await session.execute(delete(Attempts).where(Attempts.account == account, Attempts.network != network))


async def signed_in_from(session: AsyncSession, email_key: str, ip_address: str) -> bool:
    """Whether there is a session of that account that was opened from there, alive or not."""
    opened = select(Session.id).join(User, User.id == Session.user_id)
    found = opened.where(User.email_key == email_key, Session.ip_address == ip_address).limit(1)
    return await session.scalar(found) is not None
