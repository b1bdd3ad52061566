"""What a running mesh leaves in its data folder for other commands: what its processes are told."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from svckit.local import LocalError
from svckit.local.home import read_json, write_json

STATE = "state.json"


@contextmanager
def kept(home: Path, told: Mapping[str, str]) -> Iterator[None]:
    """Keep what the processes are told in the folder while the block runs; only its owner can read it."""
    write_json(home / STATE, told)
    try:
        yield
    finally:
        forget(home)


def forget(home: Path) -> None:
    """Remove what a mesh that was killed has left."""
    (home / STATE).unlink(missing_ok=True)


def read(home: Path) -> dict[str, str]:
    """Read what the running mesh keeps; LocalError while it is still starting."""
    found = read_json(home / STATE)
    if not found:
        raise LocalError("chatmesh is just starting or stopping: try again in a moment")
    return {name: str(value) for name, value in found.items()}


def of_running(home: Path, *, instead: str) -> dict[str, str]:
    """As `read`, for a command that needs a mesh here because the variable `instead` does not lead to another."""
    if not (home / STATE).exists():
        raise LocalError(f"no mesh runs in {home}: `make run` starts one; or set {instead}")
    return read(home)
