import os
import socket
import stat
from pathlib import Path

import pytest

from svckit import local
from svckit.local import ports
from svckit.local.home import read_json, write_json


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_folder_in_use_says_who_uses_it(home: local.Home) -> None:
    with pytest.raises(local.AlreadyRunning, match=rf"already running \(pid {os.getpid()}\)") as raised:
        async with local.Home.opened(home.path):
            pass

    assert raised.value.pid == os.getpid()


async def test_a_folder_that_was_left_can_be_opened_again(folder: Path) -> None:
    async with local.Home.opened(folder):
        pass
    async with local.Home.opened(folder) as home:
        assert home.secret("door")


async def test_a_secret_is_made_once_and_only_for_its_owner(folder: Path) -> None:
    async with local.Home.opened(folder) as home:
        first = home.secret("door")
        other = home.secret("window")
    async with local.Home.opened(folder) as home:
        again = home.secret("door")

    assert first == again != other
    assert _mode(folder / "secrets" / "door") == 0o600
    assert _mode(folder) == 0o700


async def test_a_port_is_remembered_between_runs(folder: Path) -> None:
    async with local.Home.opened(folder) as home:
        first = home.port("web")
    async with local.Home.opened(folder) as home:
        assert home.port("web") == first


async def test_a_remembered_port_that_somebody_took_is_replaced(folder: Path) -> None:
    async with local.Home.opened(folder) as home:
        first = home.port("web")
    with socket.create_server(("127.0.0.1", first)):
        async with local.Home.opened(folder) as home:
            assert home.port("web") != first


async def test_no_port_is_handed_out_twice(home: local.Home) -> None:
    handed_out = [home.port(name) for name in ("a", "b", "a", "c", "b")]

    assert len(set(handed_out)) == len(handed_out)


async def test_the_folder_stays_out_of_version_control(home: local.Home) -> None:
    assert (home.path / ".gitignore").read_text() == "*\n"


async def test_what_is_kept_as_json_is_read_back(home: local.Home) -> None:
    write_json(home.path / "kept.json", {"ü": [1, 2]})

    assert read_json(home.path / "kept.json") == {"ü": [1, 2]}
    assert read_json(home.path / "other.json") == {}


async def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        assert not ports.is_free(port)
        assert ports.holder(port).startswith(f"pid {os.getpid()} (")
    assert ports.is_free(port)


async def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(local.LocalError, match="/dev/null cannot be the data folder: File exists"):
        async with local.Home.opened(Path("/dev/null")):
            pass
