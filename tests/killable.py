"""Processes that a test may kill: forks of one that has imported everything, started in a moment, however often."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

PROCESSES = multiprocessing.get_context("forkserver")
_ahead = ["__main__"]


def import_ahead(*modules: ModuleType) -> None:
    """Have the process that is forked import these: there is one for all tests, so each says what it runs."""
    _ahead.extend(module.__name__ for module in modules)
    PROCESSES.set_forkserver_preload(_ahead)


class Killable:
    """A process that runs a function, given an event to set and these arguments."""

    def __init__(self, run: Callable[..., None], *arguments: Any) -> None:
        self._run = run
        self._arguments = arguments

    async def start(self) -> None:
        ready = PROCESSES.Event()
        self.process = PROCESSES.Process(target=self._run, args=(ready, *self._arguments), daemon=True)
        # In a thread: the first one waits until everything is imported, and what it may ask for answers here.
        await asyncio.to_thread(self.process.start)
        while not ready.is_set():
            assert self.process.is_alive(), "it ended before it was ready"
            await asyncio.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    async def kill(self) -> None:
        self.process.kill()
        await asyncio.to_thread(self.process.join)


@asynccontextmanager
async def running(run: Callable[..., None], *arguments: Any) -> AsyncIterator[Killable]:
    """The process, ready; killed at the end of the block at the latest."""
    program = Killable(run, *arguments)
    await program.start()
    try:
        yield program
    finally:
        await program.kill()
