"""A program that is kept: started until it answers, stopped, killed, started again."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta

from svckit.local import ports
from svckit.local.children import Child, Program
from svckit.local.errors import ProgramFailed
from svckit.local.home import Home
from svckit.local.probes import Probe

_FIRST_PAUSE = 0.02  # seconds between two probes; it grows to the longest
_LONGEST_PAUSE = 0.3
_PORT_ATTEMPTS = 5


class Supervised:
    """One program, its probe and, while it runs, its child process."""

    def __init__(
        self,
        program: Program,
        *,
        home: Home,
        url: str,
        ready: Probe,
        patience: timedelta = timedelta(seconds=60),
        grace: timedelta = timedelta(seconds=10),
    ) -> None:
        """`url`: where clients reach it; `patience`: how long it may take to answer; `grace`: to obey a stop signal."""
        self.program = program
        self.url = url
        self._home = home
        self._ready = ready
        self._patience = patience
        self._grace = grace
        self._child: Child | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        """The process that runs it now."""
        return self._child.pid if self._child and self._child.running else None

    async def start(self) -> None:
        """Start it and wait until it answers; ProgramFailed if it ends first or takes longer than its patience."""
        self._child = await Child.start(self.program, home=self._home)
        try:
            await self._until_ready(self._child)
        except BaseException:
            self.hurry()
            await self._child.wait()
            raise

    async def stop(self) -> None:
        """Ask it to end, by each of its stop signals in turn; returns when it has ended."""
        if self._child:
            await self._child.stop(grace=self._grace)

    async def kill(self) -> None:
        """End it at once (SIGKILL), as a crash or a lost machine would."""
        if self._child:
            self._child.send(signal.SIGKILL)
            await self._child.wait()

    def hurry(self) -> None:
        """Send its last stop signal now, whatever `stop` is waiting for."""
        if self._child:
            self._child.send(self.program.stop_signals[-1])

    async def restart(self) -> None:
        """Stop it, then start it on the same port and data."""
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Return the exit code, once it has ended."""
        assert self._child is not None
        return await self._child.wait()

    async def _until_ready(self, child: Child) -> None:
        died = asyncio.ensure_future(child.wait())
        pause = _FIRST_PAUSE
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                while not await self._ready():
                    await asyncio.wait([died], timeout=pause)
                    if died.done():
                        raise child.failed(f"ended with {died.result()} before it was ready")
                    pause = min(pause * 1.5, _LONGEST_PAUSE)
        except TimeoutError:
            raise child.failed(f"did not answer within {self._patience.total_seconds():.0f} s") from None
        finally:
            died.cancel()


async def start_on_free_ports(home: Home, names: Sequence[str], make: Callable[..., Supervised]) -> Supervised:
    """Start what `make(*ports)` gives, with other ports when somebody took one between its choice and its use."""
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        chosen = [home.port(name) for name in names]
        supervised = make(*chosen)
        try:
            await supervised.start()
        except ProgramFailed:
            if attempt == _PORT_ATTEMPTS or all(ports.is_free(port) for port in chosen):
                raise
        else:
            break
    return supervised
