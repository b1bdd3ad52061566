"""`chatmesh migrate` as a job of a cluster runs it."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg


async def typed(*services: str, **environment: str) -> tuple[int | None, str]:
    """Exit code and standard error of the command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh", "migrate", *services),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, **environment},
    )
    _, err = await process.communicate()
    return process.returncode, err.decode()


async def test_all_services_get_their_tables(new_database: Callable[[], Awaitable[str]], tmp_path: Path) -> None:
    url = await new_database()

    code, _ = await typed(DATABASE_URL=url, CLICKHOUSE_URL=f"chdb://{tmp_path / 'clickhouse'}")

    assert code == 0
    async with await psycopg.AsyncConnection.connect(url) as connection:
        rows = await connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version'")
        assert {schema for (schema,) in await rows.fetchall()} == {"auth", "chat", "billing"}
    assert (tmp_path / "clickhouse").exists()


AWAIT = """
import asyncio, sys
from analytics_svc import clickhouse, schema

async def main():
    async with clickhouse.connected(sys.argv[1]) as warehouse:
        waiting = asyncio.create_task(schema.await_migrated(warehouse))
        await warehouse.ping()
        early = waiting.done()
        await schema.migrate(warehouse)
        await waiting
        print(early)

asyncio.run(main())
"""


async def test_analytics_waits_until_its_tables_are_made(tmp_path: Path) -> None:
    """In a process of its own, because the engine opens one folder a process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", AWAIT, f"chdb://{tmp_path / 'clickhouse'}"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()

    assert (process.returncode, out.splitlines()[-1]) == (0, b"False")


async def test_what_is_missing_is_named() -> None:
    (code, said), (unknown, why) = await asyncio.gather(typed("analytics", "auth"), typed("mail"))

    assert (code, unknown, why) == (1, 1, "chatmesh: 'mail' is none of auth, chat, billing, analytics\n")
    assert said.strip().startswith("chatmesh: CLICKHOUSE_URL and DATABASE_URL must be set")
