"""The command as a person uses it, with stand-ins for the services."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mesh import administrator, state
from svckit import local

UP = """
import asyncio, os, sys
from pathlib import Path
from mesh.processes import Process
from mesh.up import up
from svckit.local import LocalError

def processes(given, home):
    for name, needs in (("first", ()), ("second", ("first",))):
        port = home.port(name)
        yield Process(
            name=name, module="fake", ports=(port,), moved_by="X=", ready=f"http://127.0.0.1:{port}/readyz",
            about=f"port {port}", needs=needs, environment={"NAME": name, "LISTEN": f"127.0.0.1:{port}"},
        )

try:
    table = lambda *arguments: list(processes(*arguments))
    asyncio.run(up(dict(os.environ), folder=Path(sys.argv[1]), processes=table, output=sys.stdout))
except LocalError as error:
    sys.exit(f"chatmesh: {error}")
"""


class Running:
    """A `chatmesh up` in another process, and what it has written."""

    def __init__(self, process: asyncio.subprocess.Process, output: asyncio.StreamReader) -> None:
        self.process = process
        self._output = output
        self.written = ""

    async def until(self, text: str) -> None:
        """Read on until `text` was written; fails when the process ends first."""
        while text not in self.written:
            line = await self._output.readline()
            assert line, self.written
            self.written += line.decode()

    async def end(self) -> int:
        """Read all the rest, and return the exit code."""
        self.written += (await self._output.read()).decode()
        return await self.process.wait()


@asynccontextmanager
async def _command(*arguments: str, environment: Mapping[str, str]) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.defpath, **environment},
    )
    assert process.stdout is not None
    running = Running(process, process.stdout)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await running.end()


def _lines(journal: Path) -> list[str]:
    return journal.read_text().splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mesh home"


async def test_everything_starts_is_announced_and_stops_in_order(
    folder: Path, environment: Mapping[str, str], journal: Path
) -> None:
    async with _command("-c", UP, str(folder), environment=environment) as running:
        await running.until("chatmesh is up after")
        told = json.loads((folder / "state.json").read_text())
        running.process.send_signal(signal.SIGINT)

        assert await running.end() == 0
    assert "first  | first has something to say\n" in running.written
    assert f"mail           {folder / 'mail'} keeps every mail" in running.written
    assert re.search(r"PostgreSQL     postgresql://127.0.0.1:\d+/postgres\n", running.written)
    assert told["DATABASE_URL"].startswith("postgresql://postgres:")
    assert _lines(journal)[-2:] == ["stopped second", "stopped first"]
    assert not (folder / "state.json").exists()


async def test_a_second_start_names_the_first(folder: Path, environment: Mapping[str, str]) -> None:
    async with _command("-c", UP, str(folder), environment=environment) as first:
        await first.until("chatmesh is up after")
        async with _command("-m", "mesh", "up", environment={**environment, "CHATMESH_HOME": str(folder)}) as second:
            assert await second.end() == 1

    assert second.written == f"chatmesh: already running (pid {first.process.pid}) on the data folder {folder}\n"


async def test_after_a_kill_nothing_is_left_and_it_starts_again(
    folder: Path, environment: Mapping[str, str], journal: Path
) -> None:
    async with _command("-c", UP, str(folder), environment=environment) as first:
        await first.until("chatmesh is up after")
        first.process.kill()
        await first.process.wait()

    async with _command("-c", UP, str(folder), environment=environment) as second:
        await second.until("chatmesh is up after")

    lines = _lines(journal)
    again = len(lines) - 1 - lines[::-1].index("started first")
    assert {"stopped first", "stopped second"} <= set(lines[:again])


async def test_a_process_that_does_not_start_ends_the_command_with_its_words(
    folder: Path, environment: Mapping[str, str]
) -> None:
    async with _command("-c", UP, str(folder), environment={**environment, "BROKEN": "second"}) as running:
        assert await running.end() == 1

    assert "chatmesh: second ended with 1 before it was ready" in running.written
    assert "    second is out of order" in running.written
    async with local.Home.opened(folder):
        pass  # nobody holds it, and no child of it is left


async def test_a_second_signal_hurries(folder: Path, environment: Mapping[str, str], tmp_path: Path) -> None:
    module = tmp_path / "modules" / "fake.py"
    module.write_text(module.read_text().replace("os._exit(0)", "print('not yet', flush=True)"))
    async with _command("-c", UP, str(folder), environment=environment) as running:
        await running.until("chatmesh is up after")
        running.process.send_signal(signal.SIGINT)
        await running.until("second | not yet")
        running.process.send_signal(signal.SIGINT)

        assert await running.end() == 0


async def test_a_taken_edge_port_is_told_by_the_real_command(folder: Path, environment: Mapping[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = {**environment, "CHATMESH_HOME": str(folder), "EDGE_PORT": str(port)}
        async with _command("-m", "mesh", "up", environment=settings) as running:
            assert await running.end() == 1

    assert f"port {port} is used by pid {os.getpid()} (" in running.written
    assert "EDGE_PORT=" in running.written
    assert not (folder / "postgres").exists()


async def test_the_first_administrator_is_made_once(
    home: local.Home, environment: Mapping[str, str], tmp_path: Path
) -> None:
    module = tmp_path / "modules" / "make_admin.py"
    module.write_text("import sys; print('made', *sys.argv[1:], len(sys.stdin.readline()))")

    first = await administrator.create_first(home, environment=environment, module="make_admin")
    second = await administrator.create_first(home, environment=environment, module="make_admin")

    password = home.secret("administrator")
    assert first.startswith("made admin@example.com --password-stdin 32\n")
    assert f"administrator: admin@example.com, password {password}" in first
    assert second == f"administrator: see {home.path / 'administrator.txt'}"
    assert (home.path / "administrator.txt").stat().st_mode & 0o777 == 0o600


async def test_an_administrator_that_cannot_be_made_is_told_and_tried_again(
    home: local.Home, environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "modules" / "make_admin.py").write_text("raise SystemExit('no such table')")

    told = await administrator.create_first(home, environment=environment, module="make_admin")

    assert told == "no administrator was made:\nno such table"
    assert not (home.path / "administrator.txt").exists()


async def test_nothing_is_known_of_a_mesh_that_is_only_starting(home: local.Home) -> None:
    with pytest.raises(local.LocalError, match="just starting"):
        state.read(home.path)
    with state.kept(home.path, {"DATABASE_URL": "postgresql://here"}):
        assert state.read(home.path) == {"DATABASE_URL": "postgresql://here"}


async def test_wrong_settings_are_all_told_before_anything_starts(folder: Path, environment: Mapping[str, str]) -> None:
    wrong = {"CHATMESH_HOME": str(folder), "LOG_LEVEL": "loud", "CHATMESH_ENV": "prod"}
    async with _command("-m", "mesh", "up", environment={**environment, **wrong}) as running:
        assert await running.end() == 1

    assert running.written == (
        "chatmesh: CHATMESH_ENV: must be development or production\nLOG_LEVEL: must be debug, info, warning or error\n"
    )
