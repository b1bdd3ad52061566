"""A table of processes, running: started in the order of their needs, kept running, stopped in the reverse order."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from mesh.processes import Process
from svckit.local import Home, LocalError, Program, Supervised, probes

Say = Callable[[str], None]

_GRACE = timedelta(seconds=15)  # a service takes up to 10 s to finish the calls it serves
_FIRST_PAUSE = 1.0  # seconds before a process that ended is started again; doubles while it does not last
_LONGEST_PAUSE = 30.0
_LASTED = 60.0


class Fleet:
    """The processes of one mesh."""

    def __init__(self, processes: Sequence[Process], *, home: Home, environment: Mapping[str, str], say: Say) -> None:
        self._processes = {process.name: process for process in processes}
        self._say = say
        self.programs = {name: _program(process, home, environment) for name, process in self._processes.items()}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything is ready inside the block, and has ended after it; LocalError when one does not start."""
        try:
            await self._in_order(self._start, {name: process.needs for name, process in self._processes.items()})
            yield
        finally:
            await self._in_order(self._stop, self._needed_by())

    async def _start(self, name: str) -> None:
        started = time.monotonic()
        await self.programs[name].start()
        self._say(f"{name} is ready after {time.monotonic() - started:.1f} s")

    async def _stop(self, name: str) -> None:
        if self.programs[name].pid is not None:
            await self.programs[name].stop()
            self._say(f"{name} stopped")

    def _needed_by(self) -> dict[str, tuple[str, ...]]:
        processes = self._processes.values()
        return {name: tuple(other.name for other in processes if name in other.needs) for name in self._processes}

    async def _in_order(self, act: Callable[[str], Awaitable[None]], after: Mapping[str, Iterable[str]]) -> None:
        """Do `act` to each process as soon as it is done to all those that it comes `after`."""
        done = {name: asyncio.Event() for name in after}

        async def one(name: str) -> None:
            for earlier in after[name]:
                if earlier in done:
                    await done[earlier].wait()
            await act(name)
            done[name].set()

        try:
            async with asyncio.TaskGroup() as group:
                for name in after:
                    group.create_task(one(name))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None


@asynccontextmanager
async def kept(programs: Iterable[Supervised], *, say: Say) -> AsyncIterator[None]:
    """Start each program again whenever it ends, while the block runs."""
    keepers = [asyncio.create_task(_keep(program, say)) for program in programs]
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)


async def _keep(program: Supervised, say: Say) -> None:
    pause = _FIRST_PAUSE
    while True:
        since = time.monotonic()
        code = await program.wait()
        if time.monotonic() - since > _LASTED:
            pause = _FIRST_PAUSE
        say(f"{program.name} ended ({_meaning(code)}); it starts again in {pause:g} s")
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
        try:
            await program.start()
        except LocalError as error:
            say(str(error))
        else:
            say(f"{program.name} is back")


def _program(process: Process, home: Home, environment: Mapping[str, str]) -> Supervised:
    program = Program(
        name=process.name,
        command=(sys.executable, "-m", process.module),
        environment={**environment, **process.environment},
    )
    url = process.environment.get("LISTEN", process.ready)
    return Supervised(program, home=home, url=url, ready=probes.answers(process.ready), grace=_GRACE)


def _meaning(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
