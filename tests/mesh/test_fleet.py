import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mesh.fleet import Fleet, kept
from mesh.processes import Process
from svckit import local
from svckit.local import probes

Describe = Callable[..., Process]


def _lines(journal: Path) -> list[str]:
    return journal.read_text().splitlines()


async def test_processes_start_after_those_they_need_and_stop_before_them(
    home: local.Home, environment: Mapping[str, str], journal: Path, fake: Describe
) -> None:
    processes = [
        fake("edge", home.port("edge"), "chat", "auth", "somebody who is not started here"),
        fake("chat", home.port("chat"), "auth"),
        fake("auth", home.port("auth")),
    ]
    said: list[str] = []
    fleet = Fleet(processes, home=home, environment=environment, say=said.append)

    async with fleet.running():
        assert all([await probes.answers(process.ready)() for process in processes])

    happened = _lines(journal)
    assert happened.index("ready auth") < happened.index("started chat")
    assert happened.index("ready chat") < happened.index("started edge")
    assert happened[-3:] == ["stopped edge", "stopped chat", "stopped auth"]
    assert [line.split(" after ")[0] for line in said[:3]] == ["auth is ready", "chat is ready", "edge is ready"]
    assert said[3:] == ["edge stopped", "chat stopped", "auth stopped"]


async def test_a_process_that_dies_at_the_start_stops_everything_and_shows_its_last_lines(
    home: local.Home, environment: Mapping[str, str], journal: Path, fake: Describe
) -> None:
    processes = [
        fake("auth", home.port("auth")),
        fake("chat", home.port("chat"), "auth"),
        fake("edge", home.port("edge"), "chat"),
    ]
    fleet = Fleet(processes, home=home, environment={**environment, "BROKEN": "chat"}, say=lambda _: None)

    with pytest.raises(local.ProgramFailed, match="chat ended with 1 before it was ready") as raised:
        async with fleet.running():
            pass

    assert raised.value.last_lines == ("chat has something to say", "chat is out of order")
    assert "started edge" not in _lines(journal)
    assert _lines(journal)[-1] == "stopped auth"


async def test_a_process_that_dies_later_is_started_again(
    home: local.Home, environment: Mapping[str, str], fake: Describe
) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    process = fake("auth", home.port("auth"))
    fleet = Fleet([process], home=home, environment=environment, say=lambda _: None)
    program = fleet.programs["auth"]

    async with fleet.running(), kept(fleet.programs.values(), say=said.put_nowait):
        first = program.pid
        await program.kill()

        assert await said.get() == "auth ended (SIGKILL); it starts again in 1 s"
        assert await said.get() == "auth is back"
        assert program.pid not in (None, first)
        assert await probes.answers(process.ready)()
    assert program.pid is None


async def test_a_process_that_cannot_come_back_is_tried_again_and_says_why(
    home: local.Home, environment: Mapping[str, str], fake: Describe, tmp_path: Path
) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    fleet = Fleet([fake("auth", home.port("auth"))], home=home, environment=environment, say=lambda _: None)
    module = tmp_path / "modules" / "fake.py"
    works = module.read_text()

    async with fleet.running(), kept(fleet.programs.values(), say=said.put_nowait):
        module.write_text("raise SystemExit('not today')")
        await fleet.programs["auth"].kill()

        assert await said.get() == "auth ended (SIGKILL); it starts again in 1 s"
        assert "not today" in await said.get()
        module.write_text(works)
        assert await said.get() == "auth ended (exit code 1); it starts again in 2 s"
        assert await said.get() == "auth is back"
