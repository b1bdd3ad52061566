"""The SQL of plans and quotas: what users may use, what is held back for them, and what they have used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, cast, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc.models import Entitlement, Generation, Purpose, Reservation, State, Used

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


async def entitlement(session: AsyncSession, owner_id: str) -> Entitlement | None:
    return await session.get(Entitlement, owner_id)


async def keep_entitlement(session: AsyncSession, snapshot: Mapping[str, object]) -> None:
    """Write the snapshot unless one of its version or a higher one is there."""
    statement = insert(Entitlement).values(snapshot)
    newer = Entitlement.version < statement.excluded.version
    await session.execute(
        statement.on_conflict_do_update(index_elements=[Entitlement.owner_id], set_=dict(snapshot), where=newer)
    )


async def figures(session: AsyncSession, owner_id: str, *, period_start: datetime) -> Figures:
    """In one statement, so that what is settled meanwhile is in exactly one of them."""
    of_period = Used.owner_id == owner_id, Used.period_start == period_start, Used.purpose == Purpose.ANSWER
    used = select(func.coalesce(func.sum(Used.input_tokens + Used.output_tokens), 0)).where(*of_period)
    reserved = func.coalesce(func.sum(Reservation.tokens).filter(Reservation.period_start == period_start), 0)
    query = select(cast(used.scalar_subquery(), BigInteger), cast(reserved, BigInteger), func.count())
    found = await session.execute(query.select_from(Reservation).where(Reservation.owner_id == owner_id))
    return Figures(*found.one())


async def held_back(session: AsyncSession) -> tuple[int, int]:
    """How many works tokens are held back for, and how many tokens, of all owners."""
    tokens = cast(func.coalesce(func.sum(Reservation.tokens), 0), BigInteger)
    works, held = (await session.execute(select(func.count(), tokens).select_from(Reservation))).one()
    return works, held


async def release(session: AsyncSession, work_id: str) -> Reservation | None:
    """Take a reservation away; None if there is none any more."""
    return await session.scalar(delete(Reservation).where(Reservation.work_id == work_id).returning(Reservation))


async def release_idle(session: AsyncSession, runner: str) -> None:
    """Take away what a replica that is gone held back for work that is not there any more either."""
    running = exists().where(Generation.id == Reservation.work_id, Generation.state == State.RUNNING)
    await session.execute(delete(Reservation).where(Reservation.runner == runner, ~running))


async def add_used(session: AsyncSession, added: Mapping[str, object]) -> None:
    """Add a row to what was used of the same model for the same purpose in the same period."""
    statement = insert(Used).values(added)
    sums = {name: getattr(Used, name) + statement.excluded[name] for name in _ADDED_UP}
    estimated = Used.estimated | statement.excluded.estimated
    await session.execute(
        statement.on_conflict_do_update(index_elements=Used.__table__.primary_key, set_=sums | {"estimated": estimated})
    )


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
