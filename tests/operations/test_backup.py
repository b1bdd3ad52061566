"""The commands of docs/operations/backup.md, run as they stand there."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import LiteralString

import psycopg

from auth_svc import app as auth
from auth_svc import models as auth_models
from chat_svc import app as chat
from chat_svc import models as chat_models
from svckit import postgres
from svckit.local.postgres import find_postgres

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "backup.md"
TABLES = """
SELECT table_schema || '.' || table_name FROM information_schema.tables
WHERE table_schema IN ('auth', 'chat') ORDER BY 1
"""
OWNERS = "SELECT owner_id FROM chat.deleted_owners"


async def test_a_database_comes_back_from_its_dump(new_database: Callable[[], Awaitable[str]], tmp_path: Path) -> None:
    [commands] = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    kept, restored = await new_database(), await new_database()
    await postgres.migrate(kept, schema=auth_models.SCHEMA, scripts=auth.MIGRATIONS)
    await postgres.migrate(kept, schema=chat_models.SCHEMA, scripts=chat.MIGRATIONS)
    async with await psycopg.AsyncConnection.connect(kept) as connection:
        await connection.execute("INSERT INTO chat.deleted_owners VALUES ('nobody', now())")

    path = f"{find_postgres()}:{os.environ['PATH']}"
    told = {**os.environ, "PATH": path, "DATABASE_URL": kept, "NEW_DATABASE_URL": restored}
    process = await asyncio.create_subprocess_exec("bash", "-euc", commands, cwd=tmp_path, env=told)

    assert await process.wait() == 0
    assert await _found(restored, TABLES) == await _found(kept, TABLES)
    assert await _found(restored, OWNERS) == ["nobody"]


async def _found(url: str, query: LiteralString) -> list[str]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return [value for (value,) in await (await connection.execute(query)).fetchall()]
