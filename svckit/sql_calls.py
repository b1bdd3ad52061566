"""What a pool of PostgreSQL connections says of itself: each statement's span and time, and how full the pool is.

Statements are shown as they are written, with placeholders: what a placeholder stood for is never looked at.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from prometheus_client import Counter, Gauge
from sqlalchemy import Connection, ExceptionContext, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from svckit import db_calls

SYSTEM = "postgresql"

_KEY = "chatmesh.call"  # of what is kept beside a connection while its statement runs
_OPERATIONS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"})
_WORD = re.compile(r"\s*(?:/\*.*?\*/\s*)*(\w+)", re.DOTALL)
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+((?:\w+\.)?\w+)", re.IGNORECASE)

_CONNECTIONS = Gauge("db_client_connections", "Connections of a pool, by state: used or idle.", ["pool", "state"])
_MOST = Gauge("db_client_connections_max", "The most connections that a pool opens.", ["pool"])
POOL_TIMEOUTS = Counter(
    "db_client_connection_timeouts_total", "Transactions that found no connection free in time.", ["pool"]
)


def observe(engine: AsyncEngine, *, pool: str) -> None:
    """Measure every statement of the engine from now on, and its pool under that name."""
    listen: Callable[..., None] = event.listen
    listen(engine.sync_engine, "before_cursor_execute", _before)
    listen(engine.sync_engine, "after_cursor_execute", _after)
    listen(engine.sync_engine, "handle_error", _failed)
    connections = engine.pool
    if isinstance(connections, QueuePool):
        _CONNECTIONS.labels(pool, "used").set_function(connections.checkedout)
        _CONNECTIONS.labels(pool, "idle").set_function(connections.checkedin)
        _MOST.labels(pool).set(connections.size())


def _before(connection: Connection, _cursor: object, statement: str, *_rest: Any) -> None:
    operation, table = summary(statement)
    connection.info[_KEY] = db_calls.begin(SYSTEM, operation, target=table, text=statement)


def _after(connection: Connection, *_rest: Any) -> None:
    if call := connection.info.pop(_KEY, None):
        call.end()


def _failed(context: ExceptionContext) -> None:
    """Whatever ends a statement early comes by here, a cancellation, too."""
    if context.connection is not None and (call := context.connection.info.pop(_KEY, None)):
        call.end(context.original_exception)


@lru_cache(maxsize=2048)
def summary(statement: str) -> tuple[str, str]:
    """What a statement does, in a word of few, and to which table: the first that it names."""
    word = _WORD.match(statement)
    operation = word[1].upper() if word else ""
    table = _TABLE.search(statement)
    return operation if operation in _OPERATIONS else "OTHER", table[1] if table else ""
