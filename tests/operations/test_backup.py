"""The commands of docs/operations/backup.md, run as they stand there."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import LiteralString

import nats
import psycopg
from chatmesh.events.v1.events_pb2 import UserDeleted

from auth_svc import models as auth
from chat_svc import models as chat
from svckit import postgres
from svckit.events import STREAM, connected, event
from svckit.local import Home
from svckit.local.nats import start_nats
from svckit.local.postgres import find_postgres
from tests.operations import nats_backups

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "backup.md"
TABLES = """
SELECT table_schema || '.' || table_name FROM information_schema.tables
WHERE table_schema IN ('auth', 'chat') ORDER BY 1
"""
OWNERS = "SELECT owner_id FROM chat.deleted_owners"


async def test_a_database_comes_back_from_its_dump(new_database: Callable[[], Awaitable[str]], tmp_path: Path) -> None:
    commands, *_ = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    kept, restored = await new_database(), await new_database()
    await postgres.migrate(kept, schema=auth.SCHEMA, scripts=auth.MIGRATIONS)
    await postgres.migrate(kept, schema=chat.SCHEMA, scripts=chat.MIGRATIONS)
    async with await psycopg.AsyncConnection.connect(kept) as connection:
        await connection.execute("INSERT INTO chat.deleted_owners VALUES ('nobody', now())")

    path = f"{find_postgres()}:{os.environ['PATH']}"
    told = {**os.environ, "PATH": path, "DATABASE_URL": kept, "NEW_DATABASE_URL": restored}
    process = await asyncio.create_subprocess_exec("bash", "-euc", commands, cwd=tmp_path, env=told)

    assert await process.wait() == 0
    assert await _found(restored, TABLES) == await _found(kept, TABLES)
    assert await _found(restored, OWNERS) == ["nobody"]


async def test_reports_come_back_from_a_backup_of_clickhouse(tmp_path: Path) -> None:
    """Each engine in a process of its own, because one opens one folder."""
    [commands] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    backup, restore = commands.split(";\n")[:2]

    kept = await _tables("make", tmp_path / "kept", tmp_path, backup)
    restored = await _tables("restore", tmp_path / "restored", tmp_path, restore)

    assert restored == kept
    assert {"table events 1000", "table users_15m 67"} <= {line.rpartition(" ")[0] for line in kept}


async def _tables(act: str, folder: Path, backups: Path, command: str) -> list[str]:
    program = Path(__file__).with_name("clickhouse_restored.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), act, str(folder), f"{backups}/", command),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PAGE.parents[2]), "LOG_LEVEL": "error"},
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return [line for line in said.decode().splitlines() if line.startswith("table ")]


async def test_events_and_consumers_places_come_back_from_a_backup_of_nats(tmp_path: Path) -> None:
    facts = [event(UserDeleted(user_id=user), source="auth", about=user, time=datetime.now(UTC)) for user in "12"]
    async with _nats(tmp_path / "kept") as url, connected(url) as bus, await nats.connect(url) as client:
        jetstream = await bus.jetstream()
        for fact in facts:
            await bus.publish(fact)
        places = await jetstream.pull_subscribe("ev.>", durable="billing", stream=STREAM)
        [message] = await places.fetch(1)
        await message.ack_sync()
        backup = await nats_backups.taken(client, STREAM)

    async with _nats(tmp_path / "restored") as url, await nats.connect(url) as client:
        await nats_backups.restored(client, backup)
        places = await client.jetstream().pull_subscribe_bind("billing", stream=STREAM)
        [message] = await places.fetch(1)

    assert (message.metadata.sequence.stream, message.data) == (2, facts[1].data)


@asynccontextmanager
async def _nats(folder: Path) -> AsyncIterator[str]:
    async with Home.opened(folder) as home:
        server = await start_nats(home, durable=False)
        try:
            yield server.url
        finally:
            await server.stop()


async def _found(url: str, query: LiteralString) -> list[str]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return [value for (value,) in await (await connection.execute(query)).fetchall()]
