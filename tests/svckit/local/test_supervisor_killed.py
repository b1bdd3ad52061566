"""What is left when the supervisor is killed, and who may be the one that starts the engines."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import LiteralString, TypedDict

import psycopg
import pytest

from svckit import local

SUPERVISOR = """
import asyncio, json, sys
from pathlib import Path
from svckit import local

async def main():
    async with local.Home.opened(Path(sys.argv[1])) as home, local.engines(home) as engines:
        programs = (engines.postgres, engines.valkey, engines.nats)
        print(json.dumps({"pids": [program.pid for program in programs], "url": engines.database_url}), flush=True)
        await asyncio.Event().wait()

try:
    asyncio.run(main())
except local.LocalError as error:
    sys.exit(str(error))
"""
needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="becoming another user needs root on Linux"
)


class Started(TypedDict):
    pids: list[int]
    url: str


@asynccontextmanager
async def _supervisor(folder: Path, *, uid: int | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the engines in another process; as `uid`, with access to this Python wherever it is installed."""
    become = f"from svckit.local import launch; launch.keep_file_access({uid})\n" if uid else ""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", become + SUPERVISOR, str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _started(process: asyncio.subprocess.Process) -> Started:
    assert process.stdout is not None
    assert process.stderr is not None
    line = await process.stdout.readline()
    assert line, (await process.stderr.read()).decode()
    started: Started = json.loads(line)
    return started


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but whom nobody has collected yet (Z) does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def _insert(url: str, confirmed: asyncio.Queue[int]) -> None:
    """Commit one row after another until the server goes; `confirmed` gets each that the server said is safe."""
    with suppress(psycopg.OperationalError):
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("CREATE TABLE numbers (value int)")
            for number in itertools.count():
                await connection.execute("INSERT INTO numbers VALUES (%s)", [number])
                confirmed.put_nowait(number)


async def _select(url: str, query: LiteralString) -> list[int]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return [row[0] for row in await (await connection.execute(query)).fetchall()]


async def test_a_killed_supervisor_leaves_no_orphan_and_loses_no_row(folder: Path) -> None:
    confirmed: asyncio.Queue[int] = asyncio.Queue()
    async with _supervisor(folder) as process, asyncio.TaskGroup() as group:
        started = await _started(process)
        group.create_task(_insert(started["url"], confirmed))
        while await confirmed.get() < 50:
            pass
        process.kill()
        await process.wait()

    async with local.Home.opened(folder) as home:  # waits for exactly what is asserted next
        assert not [pid for pid in started["pids"] if _alive(pid)]

        async with local.engines(home) as engines:
            rows = await _select(engines.database_url, "SELECT value FROM numbers ORDER BY value")
            last = [confirmed.get_nowait() for _ in range(confirmed.qsize())][-1:] or [50]
            assert rows == list(range(len(rows)))
            assert len(rows) > last[0]


async def test_a_second_start_names_the_first(folder: Path) -> None:
    async with _supervisor(folder) as first:
        await _started(first)

        async with _supervisor(folder) as second:
            _, written = await second.communicate()

        assert f"already running (pid {first.pid})" in written.decode()
        assert second.returncode == 1


async def test_engines_killed_while_they_are_first_made_start_the_next_time(folder: Path) -> None:
    async with _supervisor(folder) as process:
        unfinished = folder / "postgres.unfinished"
        while not unfinished.exists():
            await asyncio.sleep(0.005)
        process.kill()
        await process.wait()
        async with local.Home.opened(folder) as home, local.engines(home) as engines:
            assert await _select(engines.database_url, "SELECT 1") == [1]


@needs_root
async def test_an_ordinary_user_needs_nothing_more(folder: Path) -> None:
    async with _supervisor(folder, uid=65534) as process:
        started = await _started(process)

        assert await _select(started["url"], "SELECT 1") == [1]


@needs_root
async def test_a_user_without_a_name_is_told_so(folder: Path) -> None:
    async with _supervisor(folder, uid=54321) as process:
        _, written = await process.communicate()

        assert "user id 54321, which has no entry in /etc/passwd" in written.decode()


@needs_root
async def test_root_in_a_container_that_forbids_namespaces_can_start_too(folder: Path) -> None:
    container = (
        "import ctypes, os, sys\n"
        "from pathlib import Path\n"
        "ready, mapped = os.pipe(), os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    ctypes.CDLL(None).unshare(0x10000000)\n"
        "    os.write(ready[1], b'.'); os.read(mapped[0], 1)\n"
        "    os.setuid(0); os.setgid(0)\n"
        "    Path('/proc/sys/user/max_user_namespaces').write_text('0')\n"
        "    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
        "os.read(ready[0], 1)\n"
        "Path(f'/proc/{child}/uid_map').write_text('0 0 65536')\n"
        "Path(f'/proc/{child}/gid_map').write_text('0 0 65536')\n"
        "os.write(mapped[1], b'.')\n"
        "sys.exit(os.waitpid(child, 0)[1])\n"
    )
    once = SUPERVISOR.replace("await asyncio.Event().wait()", "pass")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", container, "-c", once, str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, written = await process.communicate()

    assert process.returncode == 0, written.decode()
    assert len(json.loads(printed)["pids"]) == 3
    assert (folder / "postgres").stat().st_uid != 0
