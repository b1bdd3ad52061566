"""One process from start to exit: its logs, the signals that stop it, its exit code, its background loops.

Exit codes: 0 after a stop or a normal return, 1 after an error that nobody caught, 2 for wrong settings.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any

import structlog
import uvloop

from svckit import logs
from svckit.settings import SettingsError, log_settings, otlp_endpoint, sentry

log = structlog.get_logger(__name__)

_FIRST_PAUSE = 0.1  # seconds before a loop that failed starts again; doubles up to the longest
_LONGEST_PAUSE = 10.0
_CANCEL_AGAIN = 0.5  # seconds


def run(main: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
    """Run `main` as the process called `name`, on uvloop, and exit.

    SIGTERM or SIGINT cancels `main` once, so that its context managers can close what they opened; a second one ends
    the process at once.
    """
    level, format_ = log_settings()
    logs.configure(name, level=level, format_=format_)
    try:
        with _reported(name), _traced(name):
            _run(main)
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)  # noqa: T201 - for the person who starts it, not for the log
        sys.exit(2)
    except _Crashed:
        sys.exit(1)


class _Crashed(Exception):
    """Nobody caught an error; it has been logged."""


def _run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signalled(main))
    except SettingsError:
        raise
    except Exception as error:
        log.exception("crashed")
        raise _Crashed from error


@contextmanager
def _reported(name: str) -> Iterator[None]:
    """Report errors if the environment says where to."""
    dsn, environment = sentry()
    if not dsn:
        yield
        return
    from svckit import error_reports  # here, because it costs a tenth of a second

    level, format_ = log_settings()
    with error_reports.reporting(dsn, name=name, environment=environment):
        logs.configure(name, level=level, format_=format_, report=error_reports.report)
        yield


def _traced(name: str) -> AbstractContextManager[None]:
    """Send the process's spans if the environment says where to."""
    if not otlp_endpoint():
        return nullcontext()
    from svckit import tracing  # here, because it costs a third of a second and 20 MB

    return tracing.exporting(name)


async def _until_signalled(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(main())
    stopping = False

    def stop(signum: signal.Signals) -> None:
        nonlocal stopping
        if stopping:
            os._exit(128 + signum)
        stopping = True
        running.cancel()  # before the line, which cannot be written where nobody reads the log any more
        log.info("stopping", signal=signum.name)

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop, signum)
    try:
        await running
    except asyncio.CancelledError:
        if not stopping:
            raise


async def until_stopped() -> None:
    """Wait until a signal stops the process."""
    await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def background(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run endless loops beside the block: one that fails is logged and started again, all are cancelled at its end."""
    tasks = [asyncio.create_task(_supervise(loop)) for loop in loops]
    try:
        yield
    finally:
        await _end(tasks)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: a library can lose a cancellation that meets a time-out of its own."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN)


async def _supervise(loop: Callable[[], Awaitable[None]]) -> None:
    pause = _FIRST_PAUSE
    name = getattr(loop, "__qualname__", repr(loop))
    while True:
        started = time.monotonic()
        try:
            await loop()
            log.error("a background loop returned", loop=name, again_in=pause)
        except asyncio.CancelledError:
            # A library can let a cancellation of its own escape; only one of this task ends the loop.
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            log.error("a background loop was cancelled from inside", loop=name, again_in=pause)
        except Exception:
            log.exception("a background loop failed", loop=name, again_in=pause)
        if time.monotonic() - started > _LONGEST_PAUSE:
            pause = _FIRST_PAUSE
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
