"""SQL that is the same for each table."""

from datetime import datetime
from functools import cache
from typing import TypeAlias

from sqlalchemy import bindparam, delete, inspect, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from auth_svc.models import Base
from svckit.statements import Driver, Statement

Times: TypeAlias = InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]


async def add_at_once(driver: Driver, *rows: Base) -> None:
    """Keep new rows, one of each table, in one statement; one may refer to another of them."""
    values = {
        f"{row.__tablename__}_{column.key}": getattr(row, column.key)
        for row in rows
        for column in row.__table__.columns
    }
    await _adding(*(type(row) for row in rows)).run(driver, values)


@cache
def _adding(*models: type[Base]) -> Statement:
    last, *others = (
        insert(model).values(
            {c.key: bindparam(f"{model.__tablename__}_{c.key}", type_=c.type) for c in model.__table__.columns}
        )
        for model in models
    )
    return Statement(last.add_cte(*(other.cte() for other in others)))


async def delete_before(session: AsyncSession, column: Times, moment: datetime, *, limit: int) -> int:
    """Delete rows whose time in that column is before `moment`, `limit` of them at most; how many those were."""
    key = inspect(column.class_).primary_key
    old = select(*key).where(column < moment).limit(limit)
    deleted = delete(column.class_).where(tuple_(*key).in_(old)).returning(key[0])
    return len((await session.scalars(deleted)).all())
