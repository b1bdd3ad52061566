"""The data folder of one installation: who holds it, its secrets and ports, and where each process keeps its things."""

import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from svckit.local import locks, ports
from svckit.local.errors import LocalError

PORTS = "ports.json"  # which port each engine had last, by its name


class Home:
    """A data folder that this process holds; made by `Home.opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ports = read_json(path / PORTS)
        self._handed_out: set[int] = set()

    @staticmethod
    @asynccontextmanager
    async def opened(path: Path) -> AsyncIterator["Home"]:
        """Make and lock the folder, and wait until every process of an earlier run is gone.

        Raises AlreadyRunning while another process holds it, LocalError when it cannot be made or an old child does not
        end.
        """
        home = Home(_made(path))
        descriptor = locks.hold(home.path / "lock")
        try:
            for lock in sorted(home.folder("run").glob("*.lock")):
                os.close(await locks.claim(lock))
            yield home
        finally:
            os.close(descriptor)

    def folder(self, *names: str) -> Path:
        """Return a folder below this one that only its owner can enter; made when missing."""
        folder = self.path.joinpath(*names)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        """Return the file that takes what the process `name` writes."""
        return self.folder("logs") / f"{name}.log"

    def secret(self, name: str) -> str:
        """Return a random text of 32 characters that need no quoting anywhere; made once, kept between runs."""
        kept = self.folder("secrets") / name
        if not kept.exists():
            write_private(kept, secrets.token_urlsafe(24))
        return kept.read_text()

    def port(self, name: str) -> int:
        """Choose the port that `name` had last time if it is free, else a new one; never one handed out before.

        Ask again for another when somebody took it before it was bound.
        """
        port = self._ports.get(name)
        if not isinstance(port, int) or port in self._handed_out or not ports.is_free(port):
            port = ports.free_port(besides=self._handed_out)
        self._handed_out.add(port)
        self._ports[name] = port
        write_json(self.path / PORTS, self._ports)
        return port


def _made(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / ".gitignore").write_text("*\n")
    except OSError as error:
        raise LocalError(f"{path} cannot be the data folder: {error.strerror}") from error
    return path.absolute()


def read_json(path: Path) -> dict[str, object]:
    """Return the object that `write_json` kept in a file; empty when there is none."""
    if not path.exists():
        return {}
    kept: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return kept


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Keep an object in a file that only its owner may read."""
    write_private(path, json.dumps(value, indent=2))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in one step: a crash leaves the old one or the new one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
