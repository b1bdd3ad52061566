"""SQL that goes to the driver itself, on paths where SQLAlchemy's part would cost more than everything else.

The statements are SQLAlchemy's, so tables and columns are still named once, but they are made into text only once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import DictRow, dict_row
from sqlalchemy.dialects.postgresql import psycopg as postgresql
from sqlalchemy.sql.elements import ClauseElement

from svckit import db_calls, sql_calls

Driver: TypeAlias = psycopg.AsyncConnection[Any]

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


class Statement:
    """One statement; what it is given goes by the names of its parameters."""

    def __init__(self, made: ClauseElement) -> None:
        compiled = made.compile(dialect=_DIALECT)
        self._text = str(compiled)
        self._operation, self._table = sql_calls.summary(self._text)
        self._fixed: Mapping[str, object] = compiled.params

    async def run(self, driver: Driver, values: Mapping[str, object]) -> psycopg.AsyncCursor[DictRow]:
        cursor = driver.cursor(row_factory=dict_row)
        with db_calls.observed(sql_calls.SYSTEM, self._operation, target=self._table, text=self._text):
            return await cursor.execute(self._text.encode(), {**self._fixed, **values}, prepare=True)

    async def rows(self, driver: Driver, values: Mapping[str, object]) -> Sequence[DictRow]:
        return await (await self.run(driver, values)).fetchall()
