"""The launcher by itself, the pipe that stands in for Linux's parent-death signal included."""

import asyncio
import os
import signal
import sys

from svckit.local import launch

SAY_AND_WAIT = "import signal; print('here', flush=True); signal.pause()"
SAY_SIGNALS = (
    "import signal, sys\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    "print('here', flush=True)\n"
    "signal.pause()"
)


async def _launched(
    *options: str, script: str, pass_fds: tuple[int, ...] = ()
) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader]:
    """Start a script under the launcher and wait until it says that it is there."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, launch.__file__, "--signal", str(int(signal.SIGTERM)), *options),
        *("--", sys.executable, "-c", script),
        stdout=asyncio.subprocess.PIPE,
        pass_fds=pass_fds,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"here\n"
    return process, process.stdout


async def test_the_program_takes_the_launchers_place() -> None:
    script = "import os; print('here', flush=True); print(os.getpid())"
    process, output = await _launched("--parent", str(os.getpid()), script=script)

    assert await output.readline() == f"{process.pid}\n".encode()
    assert await process.wait() == 0


async def test_a_program_whose_supervisor_is_gone_is_not_started() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, launch.__file__, "--signal", "15", "--parent", "1", "--", "/bin/echo", "hello"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    assert await process.communicate() == (b"", b"the supervisor (pid 1) is gone\n")


async def test_a_program_that_cannot_be_run_is_named() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, launch.__file__, "--signal", "15", "--parent", str(os.getpid()), "--", "/no/such/program"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, written = await process.communicate()

    assert written.startswith(b"cannot run /no/such/program: ")
    assert process.returncode == 126


async def test_the_program_ends_when_the_lifeline_closes() -> None:
    ours, theirs = os.pipe()
    process, _ = await _launched("--lifeline", str(ours), script=SAY_AND_WAIT, pass_fds=(ours,))

    os.close(ours)
    os.close(theirs)

    assert await process.wait() == 128 + signal.SIGTERM


async def test_signals_reach_the_program_through_a_launcher_that_stays() -> None:
    ours, theirs = os.pipe()
    process, _ = await _launched("--lifeline", str(ours), script=SAY_SIGNALS, pass_fds=(ours,))

    process.terminate()

    assert await process.wait() == 7
    os.close(ours)
    os.close(theirs)
