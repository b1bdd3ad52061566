"""Rows as the driver takes and gives them, and the models that they are: see svckit/statements.py."""

from collections.abc import Mapping
from typing import TypeVar
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.elements import ColumnElement

from chat_svc.models import Base
from svckit.statements import Statement

ModelT = TypeVar("ModelT", bound=Base)

_NO_EXPRESSIONS: Mapping[str, ColumnElement[str]] = {}


def adding(model: type[Base], expressions: Mapping[str, ColumnElement[str]] = _NO_EXPRESSIONS) -> Statement:
    """Adds a row of the model, given the `values_of` it; the columns of the expressions are computed."""
    return Statement(inserting(model, expressions))


def inserting(model: type[Base], expressions: Mapping[str, ColumnElement[str]] = _NO_EXPRESSIONS) -> Insert:
    """The same before it is made, so that it can say what to do about a row that is there."""
    given = {column.key: bindparam(column.key, type_=column.type) for column in model.__table__.c}
    return insert(model).values({**given, **expressions})


def values_of(row: Base) -> Mapping[str, object]:
    """The columns of a row that is to be added."""
    return {column.key: _given(getattr(row, column.key)) for column in row.__table__.c}


def row_of(model: type[ModelT], found: DictRow) -> ModelT:
    """The row that was found; it belongs to no session, so that changing it changes nothing."""
    return model(**{name: str(value) if isinstance(value, UUID) else value for name, value in found.items()})


def _given(value: object) -> object:
    return Jsonb(value) if isinstance(value, dict | list) else value
