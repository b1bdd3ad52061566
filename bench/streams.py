"""Many answers streamed at once, through chat and the edge: writes docs/benchmarks-streams.md."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import proc, streams_rig
from bench.rig import port_of, python
from bench.streams_load import Job, Sample
from bench.streams_rig import StreamsRig
from svckit.local import LocalError

_DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks-streams.md"
_TEMPLATE = Path(__file__).with_name("streams.md")
_PACE = 20  # tokens a second
_STEPS = (1, 25, 100, 500, 2000)
_TOGETHER = 10  # seconds for which all streams of a step are there, at the least
_LONGEST_RAMP = 40  # seconds in which all of them begin
_BEGUN_A_SECOND = 25  # unless the ramp would be longer
_PATIENCE = 45.0  # seconds by which an answer may be late before nobody waits for it any more
_ENOUGH = 150.0  # seconds after which no step begins any more
_QUIET = 0.2  # of a processor; a service that takes less has nothing left of the step before
_LONGEST_REST = 15.0  # seconds
_LATE = 1000.0  # milliseconds; an answer that ends later than that does not keep the pace


class LoadFailed(Exception):
    """The load could not be sent to its end; the message is what it said."""


async def measured(folder: Path, *, most: int) -> tuple[Sample, Sequence[tuple[int, Sample]]]:
    """The provider itself, and the steps up to `most` streams."""
    steps = [step for step in _STEPS if step <= most]
    people = sum(steps) + 1
    async with streams_rig.running(folder, people=people, pace=_PACE) as rig:
        direct = await _loaded(rig, ["nobody"] * 50, direct=True)
        found: list[tuple[int, Sample]] = []
        await _loaded(rig, rig.people[:1])  # chat imports the provider's SDK with the first answer
        begun, clock = 1, asyncio.get_running_loop().time
        until = clock() + _ENOUGH
        for step in steps:
            if clock() > until:
                break
            sample = await _loaded(rig, rig.people[begun : begun + step])
            begun += step
            await _rest(rig)
            found.append((step, sample))
            sys.stdout.write(_row(str(step), sample))
            sys.stdout.flush()
        return direct, found


async def _rest(rig: StreamsRig) -> None:
    """Wait until chat has nothing left to do: answers whose readers gave up go on for a while."""
    before, took = proc.cpu_seconds(rig.pids["chat"]), 1.0
    until = asyncio.get_running_loop().time() + _LONGEST_REST
    while took > _QUIET and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(1)
        now = proc.cpu_seconds(rig.pids["chat"])
        before, took = now, now - before


async def _loaded(rig: StreamsRig, people: Sequence[str], *, direct: bool = False) -> Sample:
    """Run the load in a process of its own, which never outlives this call."""
    ramp = min(len(people) / _BEGUN_A_SECOND, _LONGEST_RAMP)
    seconds = round(ramp) + _TOGETHER
    job = Job(
        port=port_of(rig.provider if direct else rig.edge),
        people=people,
        ramp=ramp,
        tokens=seconds * _PACE,
        seconds=seconds,
        patience=_PATIENCE,
        pids=rig.pids,
        direct=direct,
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*python("bench.streams_load"), stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        output, errors = await process.communicate(json.dumps(asdict(job)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise LoadFailed(errors.decode()[-2000:])
    return Sample(**json.loads(output))


def _row(name: str, sample: Sample) -> str:
    answers = [str(sample.whole), str(sample.refused), str(sample.lost)]
    figures = [_at(sample.first, 0.5), _at(sample.first, 0.99), _at(sample.late, 0.5), _at(sample.late, 0.99)]
    cpu = [f"{sample.cpu[of]:.0f}" for of in ("chat", "edge", "Valkey")]
    cells = [name, *answers, *figures, f"{sample.rate:.0f}", f"{sample.share:.1f}", *cpu]
    return f"| {' | '.join(cells)} |\n"


def _at(sorted_: Sequence[float], share: float) -> str:
    return f"{sorted_[min(int(len(sorted_) * share), len(sorted_) - 1)]:.0f}" if sorted_ else "—"


def _verdict(found: Sequence[tuple[int, Sample]]) -> str:
    """In words, up to how many streams the pace was kept."""
    kept = [step for step, each in found if each.whole == step and float(_at(each.late, 0.99)) < _LATE]
    most = max(kept, default=0)
    told = (
        f"Up to {most} streams at once keep"
        if most > 1
        else "One stream keeps"
        if kept
        else "Not even one stream keeps"
    )
    rest = [step for step, _ in found if step > max(most, 1)]
    return f"{told} the pace here (99 of 100 end less than a second late)" + (f"; {rest[0]} do not." if rest else ".")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.streams", description=__doc__)
    parser.add_argument("--output", type=Path, default=_DOCUMENT, help=f"where to write (default: {_DOCUMENT.name})")
    parser.add_argument("--most", type=int, default=_STEPS[-1], help="no step beyond so many streams")
    options = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("the bench reads CPU time from /proc: it runs on Linux only")
    machine = proc.machine(("aiohttp", "grpcio", "openai", "redis", "uvloop"))
    try:
        with tempfile.TemporaryDirectory() as folder:
            direct, found = asyncio.run(measured(Path(folder), most=options.most))
    except (LocalError, LoadFailed) as error:
        sys.exit(f"bench: {error}")
    document = _TEMPLATE.read_text(encoding="utf-8").format(
        date=datetime.now(UTC).date().isoformat(),
        pace=_PACE,
        together=_TOGETHER,
        begun=_BEGUN_A_SECOND,
        ramp=_LONGEST_RAMP,
        patience=f"{_PATIENCE:.0f}",
        direct=_at(direct.first, 0.5),
        direct_p99=_at(direct.first, 0.99),
        rows="".join(_row(str(step), sample) for step, sample in found),
        verdict=_verdict(found),
        machine="\n".join(f"- {name}: {value}" for name, value in machine.items()),
    )
    sys.stdout.write(document)
    options.output.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
