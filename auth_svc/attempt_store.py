"""The SQL of attempts to sign in.

Everybody takes the counters of an account in one order, that of the account alone last: so no two wait for each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ARRAY,
    Double,
    Interval,
    Select,
    Text,
    any_,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import user_store
from auth_svc.models import Attempts, Session, User
from svckit.statements import Driver, Statement

EVERYWHERE = "*"
"""The counter of the account alone."""

# Not by their columns' names: an UPDATE would set what it is given by those.
_ACCOUNT = bindparam("of_account", type_=Attempts.account.type)
_NETWORK = bindparam("of_network", type_=Attempts.network.type)
_NOW = bindparam("now", type_=Attempts.last_at.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many attempts cost nothing; the n-th beyond those makes the next wait 2^n seconds."""

    by_network: int
    by_account: int
    longest: float
    """Seconds that nobody waits beyond."""
    memory: timedelta
    """What was before that does not count any more."""


def _counting() -> Select[str, User]:
    """Count where there is nothing to wait for; the networks for which it was, each with the account's user."""
    counted = case((Attempts.last_at < _NOW - bindparam("memory", type_=Interval), 1), else_=Attempts.count + 1)
    free = case((Attempts.network == EVERYWHERE, bindparam("by_account")), else_=bindparam("by_network"))
    over = counted - free
    wait = func.least(func.power(2, func.least(over, 20)), bindparam("longest", type_=Double))
    until = case((over < 0, _NOW), else_=_NOW + func.make_interval(0, 0, 0, 0, 0, 0, wait))
    columns = ["account", "network", "count", "last_at", "blocked_until"]
    fresh = [select(_ACCOUNT, network, literal(1), _NOW, _NOW) for network in (_NETWORK, literal(EVERYWHERE))]
    # Not VALUES: SQLAlchemy compiles those of several rows anew each time.
    counting = insert(Attempts).from_select(columns, union_all(*fresh))
    done = counting.on_conflict_do_update(
        index_elements=[Attempts.account, Attempts.network],
        set_={"count": counted, "last_at": _NOW, "blocked_until": until},
        where=Attempts.blocked_until <= _NOW,
    )
    networks = done.returning(Attempts.network).cte("counted")
    owned = networks.outerjoin(User, User.email_key == bindparam("of_address"))
    return select(networks.c.network, User).select_from(owned)


def _forgiving() -> Select[int]:
    """Forget a network's attempts, and take one of the account's back."""
    forgotten = delete(Attempts).where(Attempts.account == _ACCOUNT, Attempts.network == _NETWORK)
    network = forgotten.returning(Attempts.network).cte("forgotten")
    # Reading it first has it done first.
    after = select(func.count()).select_from(network).scalar_subquery() >= 0
    counter = update(Attempts).where(Attempts.account == _ACCOUNT, Attempts.network == EVERYWHERE, Attempts.count > 0)
    taken = counter.where(after).values(count=Attempts.count - 1).returning(Attempts.count).cte("taken")
    return select(func.count()).select_from(taken)


def _blocking() -> Select[datetime]:
    given = any_(bindparam("networks", type_=ARRAY(Text)))
    return select(Attempts.blocked_until).where(Attempts.account == _ACCOUNT, Attempts.network == given)


def _opened_from() -> Select[int]:
    opened = select(literal(1)).select_from(Session).join(User, User.id == Session.user_id).limit(1)
    given = bindparam("of_address", type_=Text), bindparam("ip", type_=Text)
    return opened.where(User.email_key == given[0], Session.ip_address == given[1])


_COUNT = Statement(_counting())
_FORGIVE = Statement(_forgiving())
_BLOCKED_UNTIL = Statement(_blocking())
_SIGNED_IN_FROM = Statement(_opened_from())


async def count(
    driver: Driver, account: bytes, email_key: str, *, network: str, limits: Limits, now: datetime
) -> Mapping[str, User | None]:
    """Count an attempt by its network and by account alone, unless it has to wait there.

    Gives where it was counted, and the account's user if there is one.
    """
    given = asdict(limits) | {"of_account": account, "of_network": network, "now": now, "of_address": email_key}
    rows = await _COUNT.rows(driver, given)
    networks = [row.pop("network") for row in rows]
    return dict.fromkeys(networks, user_store.user_of(rows[0]) if rows else None)


async def blocked_until(driver: Driver, account: bytes, networks: Sequence[str]) -> Sequence[datetime]:
    rows = await _BLOCKED_UNTIL.rows(driver, {"of_account": account, "networks": networks})
    return [row["blocked_until"] for row in rows]


async def forgive(driver: Driver, account: bytes, *, network: str) -> None:
    """Forget the attempts of a network, and take one of the account's back."""
    await _FORGIVE.run(driver, {"of_account": account, "of_network": network})


async def forget_all(session: AsyncSession, account: bytes) -> None:
    for whose in (Attempts.network != EVERYWHERE, Attempts.network == EVERYWHERE):
        await session.execute(delete(Attempts).where(Attempts.account == account, whose))


async def signed_in_from(driver: Driver, email_key: str, ip_address: str) -> bool:
    """Whether there is a session of that account that was opened from there, alive or not."""
    return bool(await _SIGNED_IN_FROM.rows(driver, {"of_address": email_key, "ip": ip_address}))
