"""File locks that the kernel frees when their last holder ends, however it ends: flock(2), with a pid inside."""

import asyncio
import fcntl
import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from svckit.local.errors import AlreadyRunning, LocalError

_POLL_SECONDS = 0.05


def hold(path: Path) -> int:
    """Lock `path` for this process alone until the returned descriptor is closed; AlreadyRunning if another has it."""
    descriptor = _open(path)
    if not _locked_now(descriptor):
        os.close(descriptor)
        raise AlreadyRunning(path.parent, pid_in(path))
    write_pid(descriptor, os.getpid())
    return descriptor


async def claim(path: Path, *, patience: timedelta = timedelta(seconds=20)) -> int:
    """Lock `path` for a child, and return the descriptor for it to inherit.

    The lock lasts until every process that inherited it has ended, so waiting for it is waiting for exactly that: a
    second PostgreSQL never opens the data of one that is still shutting down. Raises LocalError after `patience`.
    """
    descriptor = _open(path)
    try:
        async with asyncio.timeout(patience.total_seconds()):
            while not _locked_now(descriptor):  # noqa: ASYNC110 - waiting in flock(2) would block the loop
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        os.close(descriptor)
        message = f"{path.stem} of an earlier run (pid {pid_in(path)}) has not stopped: end it, then start again"
        raise LocalError(message) from None
    except asyncio.CancelledError:
        os.close(descriptor)
        raise
    return descriptor


def write_pid(descriptor: int, pid: int) -> None:
    """Say in the lock file who holds it."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(pid).encode(), 0)


def pid_in(path: Path) -> int | None:
    """Who the lock file says holds it; None if it does not say."""
    text = path.read_text()
    return int(text) if text.isdigit() else None


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _locked_now(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
