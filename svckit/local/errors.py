"""What can go wrong with local processes; each message says what to do about it."""

from collections.abc import Sequence
from pathlib import Path


class LocalError(Exception):
    """Something on this machine keeps the mesh from running; the message is for the person who started it."""


class AlreadyRunning(LocalError):
    """Another process holds the data folder's lock."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        super().__init__(f"already running (pid {pid or 'unknown'}) on the data folder {folder}")
        self.pid = pid


class NoEngine(LocalError):
    """The engine's program is not installed, or cannot be run by this user."""


class ProgramFailed(LocalError):
    """A program ended before it was ready, or did not become ready in time."""

    def __init__(self, name: str, *, happened: str, last_lines: Sequence[str], log: Path) -> None:
        shown = "\n".join(f"    {line}" for line in last_lines) or "    (it wrote nothing)"
        super().__init__(f"{name} {happened}. Its last lines, from {log}:\n{shown}")
        self.name = name
        self.last_lines = tuple(last_lines)
