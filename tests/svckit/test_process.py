"""Processes as they are really started and stopped."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from svckit import process

PREAMBLE = """
import asyncio
from svckit import process
from svckit.settings import Settings, load

class ShopSettings(Settings):
    currency: str
"""


class Started:
    """A running program, its output read line by line."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.lines: list[dict[str, Any]] = []

    async def until(self, event: str) -> None:
        assert self.child.stdout is not None
        while line := await self.child.stdout.readline():
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == event:
                return
        raise AssertionError(f"{event!r} was never logged: {self.lines}")

    async def ended(self) -> tuple[int, str]:
        """Exit code and standard error."""
        _, errors = await self.child.communicate()
        return self.child.returncode or 0, errors.decode()


@asynccontextmanager
async def program(folder: Path, main: str, **environment: str) -> AsyncIterator[Started]:
    """Run `main`, the body of a `main()` coroutine, as a process called `shop`."""
    path = folder / "program.py"
    body = dedent(main).replace("\n", "\n    ")
    path.write_text(f"{PREAMBLE}\nasync def main() -> None:\n    {body}\n\nprocess.run(main, name='shop')\n")
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(path), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield Started(child)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


WAITING = """
import structlog
log = structlog.get_logger()
try:
    log.info("up")
    await process.until_stopped()
finally:
    log.info("closing")
    await asyncio.sleep({closing})
    log.info("closed")
"""


async def test_a_stop_signal_lets_everything_close_and_exits_with_0(tmp_path: Path) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        async with program(tmp_path, WAITING.format(closing=0)) as started:
            await started.until("up")
            started.child.send_signal(signum)
            await started.until("closed")

            assert await started.ended() == (0, "")


async def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    async with program(tmp_path, WAITING.format(closing=3600)) as started:
        await started.until("up")
        started.child.send_signal(signal.SIGTERM)
        await started.until("closing")
        started.child.send_signal(signal.SIGTERM)

        assert await started.ended() == (128 + signal.SIGTERM, "")


async def test_a_main_that_returns_exits_with_0(tmp_path: Path) -> None:
    async with program(tmp_path, "return") as started:
        assert await started.ended() == (0, "")


async def test_an_error_that_nobody_caught_is_logged_and_exits_with_1(tmp_path: Path) -> None:
    async with program(tmp_path, "raise ValueError('surprise')") as started:
        await started.until("crashed")

        assert await started.ended() == (1, "")
    assert "ValueError: surprise" in started.lines[-1]["exception"]


async def test_wrong_settings_are_listed_without_a_traceback_and_exit_with_2(tmp_path: Path) -> None:
    async with program(tmp_path, "load(ShopSettings)", LOG_LEVEL="loud", SERVICE_SECRET="short") as started:
        code, errors = await started.ended()

    assert code == 2
    assert [line.partition(":")[0] for line in errors.splitlines()] == ["LOG_LEVEL", "SERVICE_SECRET", "CURRENCY"]


async def test_a_background_loop_that_fails_is_started_again() -> None:
    third = asyncio.Event()
    attempts = 0

    async def failing() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 3:
            third.set()
            await asyncio.Event().wait()
        raise OSError("away")

    async with process.background(failing):
        await third.wait()

    assert attempts == 3


async def test_background_loops_are_cancelled_and_awaited_at_the_end_of_the_block() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with process.background(endless):
        await begun.wait()

    assert ended.is_set()
