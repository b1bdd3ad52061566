"""A program as a supervised child process: started under the launcher, logged to a file, stopped by its own signals."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from svckit.local import launch, locks
from svckit.local.errors import ProgramFailed
from svckit.local.home import Home

_LAST_LINES = 12
_LOG_LIMIT = 8 * 1024 * 1024  # bytes; a longer log is set aside at the next start


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run. Its name is that of its log and lock: one child of a name at a time in a home."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGKILL)
    uid: int | None = None
    """Who the program believes it is, when this process is root and the program refuses root."""


class Child:
    """A running program. `Child.start` makes one; nobody but its supervisor signals it, Ctrl-C included."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process, *, log: Path, log_start: int) -> None:
        self.program = program
        self.log = log
        self.log_start = log_start
        self._process = process

    @staticmethod
    async def start(program: Program, *, home: Home) -> "Child":
        """Wait until the last one of this name is gone, then start. The program ends when this process ends.

        Must be called from the main thread: the kernel's "my parent ended" means the thread that forked (prctl(2)).
        """
        assert threading.current_thread() is threading.main_thread()
        lock = await locks.claim(home.folder("run") / f"{program.name}.lock")
        try:
            log = _fresh_log(home.log(program.name))
            with log.open("ab") as output:
                log_start = output.tell()
                process = await asyncio.create_subprocess_exec(
                    *_launched(program),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(program.environment),
                    start_new_session=True,  # Ctrl-C reaches the supervisor only, which then stops things in order
                    pass_fds=(lock, *_lifeline()[:1]),
                )
                locks.write_pid(lock, process.pid)
                return Child(program, process, log=log, log_start=log_start)
        finally:
            os.close(lock)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        """Return the exit code, once it has ended; −N when signal N ended it."""
        return await self._process.wait()

    async def stop(self, *, grace: timedelta) -> None:
        """Send each of its stop signals in turn, `grace` apart, until it has ended."""
        ended = asyncio.ensure_future(self.wait())
        *gentle, last = self.program.stop_signals
        for number in gentle:
            self.send(number)
            await asyncio.wait([ended], timeout=grace.total_seconds())
            if ended.done():
                return
        self.send(last)
        await ended

    def send(self, number: signal.Signals) -> None:
        """Signal the program; SIGKILL goes to its whole process group, as nobody would be left to hand it on."""
        if not self.running:
            return
        if number is signal.SIGKILL:
            os.killpg(self.pid, number)
        else:
            self._process.send_signal(number)

    def last_lines(self) -> list[str]:
        """Return the last lines that it wrote since it was started."""
        with self.log.open("rb") as log:
            log.seek(max(self.log_start, self.log.stat().st_size - 16_384))
            return log.read().decode(errors="replace").splitlines()[-_LAST_LINES:]

    def failed(self, happened: str) -> ProgramFailed:
        """Make the error that says what happened to it, with its last lines."""
        return ProgramFailed(self.program.name, happened=happened, last_lines=self.last_lines(), log=self.log)


async def run_to_end(program: Program, *, home: Home) -> None:
    """Run a program that does one thing and ends; ProgramFailed unless it exits with 0."""
    child = await Child.start(program, home=home)
    try:
        if code := await child.wait():
            raise child.failed(f"exited with {code}")
    finally:
        child.send(signal.SIGKILL)
        await child.wait()


def _launched(program: Program) -> list[str]:
    """Put the launcher before the command, with nothing of the site or the user imported into it."""
    command = [sys.executable, "-I", "-S", launch.__file__, "--signal", str(int(program.stop_signals[0]))]
    if lifeline := _lifeline():
        command += ["--lifeline", str(lifeline[0])]
    else:
        command += ["--parent", str(os.getpid())]
    if program.uid is not None:
        command += ["--uid", str(program.uid)]
    return [*command, "--", *program.command]


@cache
def _lifeline() -> tuple[int, ...]:
    """Make the pipe that closes when this process ends; none on Linux, whose kernel signals a parent's end."""
    return () if sys.platform == "linux" else os.pipe()


def _fresh_log(log: Path) -> Path:
    """Return the log to append to; one that has grown long is set aside, replacing the one before it."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    return log
