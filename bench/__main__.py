"""Measure, print the tables and write docs/benchmarks.md: `python -m bench [--rounds N] [--output FILE]`."""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from bench import envoy, proc, report, rig
from bench.load import Job, Sample
from bench.report import Round
from bench.rows import ROWS
from svckit.local import LocalError

_ENOUGH = 150.0  # seconds that rounds may take; one that would go beyond does not begin
_LIMIT = 170.0  # seconds for everything
_DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"


class LoadFailed(Exception):
    """The load could not be sent to its end; the message is what it said."""


async def measured(rounds: int, folder: Path) -> list[Round]:
    """All rounds; fewer when a slow machine would make it too long. Each round begins with another target."""
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    found: list[Round] = []
    began, slowest = time.monotonic(), 0.0
    async with asyncio.timeout(_LIMIT), rig.running(folder) as running:
        while len(found) < rounds and time.monotonic() - began + slowest < _ENOUGH:
            started = time.monotonic()
            found.append(await _round(running, turn=len(found)))
            took = time.monotonic() - started
            slowest = max(slowest, took)
            _say(f"round {len(found)} of {rounds} took {took:.0f} s\n")
    return found


async def _round(running: rig.Rig, *, turn: int) -> Round:
    targets = {"edge": running.edge, "Envoy": running.envoy, "direct": running.backend}
    names = [*targets][turn % 3 :] + [*targets][: turn % 3]
    found: dict[tuple[str, str], Sample] = {}
    for row in ROWS:
        for name in names:
            target, backend = targets[name], running.backend
            pids = {"itself": target.pid, "backend": backend.pid} if target is not backend else {"backend": backend.pid}
            job = Job(
                row=row,
                grpc=target is backend,
                port=rig.port_of(target),
                token=running.token,
                pids={of: pid for of, pid in pids.items() if pid},
            )
            found[row, name] = await _loaded(job)
    return found


async def _loaded(job: Job) -> Sample:
    """Run the load in a process of its own, which never outlives this call."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*rig.python("bench.load"), stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        output, errors = await process.communicate(json.dumps(asdict(job)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise LoadFailed(f"{job.row}: {errors.decode()[-2000:]}")
    return Sample(**json.loads(output))


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="The edge beside Envoy and a direct call.")
    parser.add_argument("--rounds", type=int, default=5, help="more rounds, steadier medians (default: 5)")
    parser.add_argument("--output", type=Path, default=_DOCUMENT, help="where to write (default: docs/benchmarks.md)")
    options = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("the bench reads CPU time from /proc: it runs on Linux only")
    try:
        envoy.find_envoy()
        machine = proc.machine()
        with tempfile.TemporaryDirectory() as folder:
            rounds = asyncio.run(measured(max(options.rounds, 1), Path(folder)))
    except (envoy.NoEnvoy, rig.Disagreement, LoadFailed, LocalError) as error:
        sys.exit(f"bench: {error}")
    except TimeoutError:
        sys.exit(f"bench: not done within {_LIMIT:.0f} s; the machine is too busy to measure on")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("bench: stopped")
    _say("\n" + report.tables(rounds))
    options.output.write_text(report.document(rounds, machine=machine), encoding="utf-8")
    _say(f"\nwritten to {options.output.name}\n")


if __name__ == "__main__":
    main()
