"""The SQL of plans and quotas: what users may use, what is held back for them, and what they have used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Select, Text, bindparam, cast, delete, exists, func, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc.models import Entitlement, Generation, Purpose, Reservation, State, Used
from chat_svc.rows import adding, inserting, row_of, values_of
from svckit.statements import Driver, Statement

_ADDED_UP = (
    "works",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_micros",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Tokens that an owner has used and that are held back in one period, and works that are being done in any."""

    used: int
    reserved: int
    running: int


_OWNER = bindparam("of_owner", type_=Text)
_WORK = bindparam("of_work", type_=Reservation.work_id.type)
_PERIOD = bindparam("period", type_=Used.period_start.type)

_ENTITLEMENT = Statement(select(Entitlement).where(Entitlement.owner_id == _OWNER))


async def entitlement(driver: Driver, owner_id: str) -> Entitlement | None:
    found = await _ENTITLEMENT.rows(driver, {"of_owner": owner_id})
    return row_of(Entitlement, found[0]) if found else None


async def keep_entitlement(session: AsyncSession, snapshot: Mapping[str, object]) -> None:
    """Write the snapshot unless one of its version or a higher one is there."""
    statement = insert(Entitlement).values(snapshot)
    newer = Entitlement.version < statement.excluded.version
    await session.execute(
        statement.on_conflict_do_update(index_elements=[Entitlement.owner_id], set_=dict(snapshot), where=newer)
    )


async def figures(driver: Driver, owner_id: str, *, period_start: datetime) -> Figures:
    """In one statement, so that what is settled meanwhile is in exactly one of them."""
    (found,) = await _FIGURES.rows(driver, {"of_owner": owner_id, "period": period_start})
    return Figures(**found)


def _figures() -> Select[int, int, int]:
    of_period = Used.owner_id == _OWNER, Used.period_start == _PERIOD, Used.purpose == Purpose.ANSWER
    used = select(func.coalesce(func.sum(Used.input_tokens + Used.output_tokens), 0)).where(*of_period)
    reserved = func.coalesce(func.sum(Reservation.tokens).filter(Reservation.period_start == _PERIOD), 0)
    query = select(
        cast(used.scalar_subquery(), BigInteger).label("used"),
        cast(reserved, BigInteger).label("reserved"),
        func.count().label("running"),
    )
    return query.select_from(Reservation).where(Reservation.owner_id == _OWNER)


_FIGURES = Statement(_figures())


async def held_back(session: AsyncSession) -> tuple[int, int]:
    """How many works tokens are held back for, and how many tokens, of all owners."""
    tokens = cast(func.coalesce(func.sum(Reservation.tokens), 0), BigInteger)
    works, held = (await session.execute(select(func.count(), tokens).select_from(Reservation))).one()
    return works, held


_RESERVE = adding(Reservation)
_RELEASE = Statement(delete(Reservation).where(Reservation.work_id == _WORK).returning(Reservation))


async def reserve(driver: Driver, reservation: Reservation) -> None:
    await _RESERVE.run(driver, values_of(reservation))


async def release(driver: Driver, work_id: str) -> Reservation | None:
    """Take a reservation away; None if there is none any more."""
    found = await _RELEASE.rows(driver, {"of_work": work_id})
    return row_of(Reservation, found[0]) if found else None


async def release_idle(session: AsyncSession, runner: str) -> None:
    """Take away what a replica that is gone held back for work that is not there any more either."""
    running = exists().where(Generation.id == Reservation.work_id, Generation.state == State.RUNNING)
    await session.execute(delete(Reservation).where(Reservation.runner == runner, ~running))


async def add_used(driver: Driver, added: Used) -> None:
    """Add a row to what was used of the same model for the same purpose in the same period."""
    await _ADD_USED.run(driver, values_of(added))


def _adding_used() -> Insert:
    statement = inserting(Used)
    sums = {name: getattr(Used, name) + statement.excluded[name] for name in _ADDED_UP}
    estimated = Used.estimated | statement.excluded.estimated
    return statement.on_conflict_do_update(
        index_elements=Used.__table__.primary_key, set_=sums | {"estimated": estimated}
    )


_ADD_USED = Statement(_adding_used())


async def used_models(session: AsyncSession, owner_id: str, *, period_start: datetime) -> Sequence[Used]:
    """What answers have used in the period, a row for each model, most tokens first."""
    query = select(Used).where(
        Used.owner_id == owner_id, Used.period_start == period_start, Used.purpose == Purpose.ANSWER
    )
    return (await session.scalars(query.order_by((Used.input_tokens + Used.output_tokens).desc()))).all()


async def delete_usage_of(session: AsyncSession, owner_id: str) -> None:
    """Forget what the owner may use and has used, and what is held back."""
    for table in (Reservation, Used, Entitlement):
        await session.execute(delete(table).where(table.owner_id == owner_id))
