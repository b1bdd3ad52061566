"""What is asked of PostgreSQL while an RPC is answered."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event


@contextmanager
def statements() -> Iterator[list[str]]:
    """Those of tasks that begin within the block: of RPCs, and not of what goes on in the background."""
    before, made = asyncio.all_tasks(), []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if asyncio.current_task() not in before:
            made.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield made
    finally:
        event.remove(Engine, "before_cursor_execute", note)
