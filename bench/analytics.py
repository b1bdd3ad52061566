"""What a report costs, beside the same question to raw events: writes docs/benchmarks-analytics.md."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from chatmesh.analytics.v1 import analytics_pb2 as pb

from bench import analytics_rig, ingest, proc
from bench.analytics_rig import SERVICES, AnalyticsRig
from bench.rig import python
from svckit.local import LocalError

_DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks-analytics.md"
_TEMPLATE = Path(__file__).with_name("analytics.md")
_SIZES = (1_000_000, 10_000_000)
_CALLS = 20
_YEAR = {"start_date": "2025-01-01", "end_date": "2025-12-31"}
_MONTH = {"start_date": "2025-12-02", "end_date": "2025-12-31"}
# As many cohorts as a page can show.
_INTERVALS = {"GetRetention": "week"}


@dataclass(frozen=True, slots=True)
class Row:
    """Times of one report, in milliseconds."""

    rpc: str
    month: Sequence[float]
    year: Sequence[float]
    raw: float

    def __str__(self) -> str:
        cold, *warm = self.year
        figures = (median(self.month), _p95(self.month), cold, median(warm), _p95(warm), self.raw)
        return f"| `{self.rpc}` | {' | '.join(f'{figure:.0f}' for figure in figures)} |\n"


async def measured(folder: Path, events: int) -> tuple[str, float]:
    """The table for so many events, and how many seconds it took to make the views of them."""
    clickhouse = folder / "clickhouse"
    raw = await _raw(clickhouse, events)
    async with analytics_rig.running(folder / "home", clickhouse=clickhouse) as rig:
        rows = [await _row(rig, method.name, raw[method.name]) for method in SERVICES[0].methods]
    return "".join(map(str, rows)), rig.start_seconds


async def _raw(clickhouse: Path, events: int) -> Mapping[str, float]:
    command = python("bench.warehouse", str(clickhouse), str(events))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise LocalError("the events could not be made")
    times: Mapping[str, float] = json.loads(said)
    return times


async def _row(rig: AnalyticsRig, rpc: str, raw: float) -> Row:
    """Over a year, then over its last month; the very first call is the cold one."""
    year = [await _timed(rig, rpc, _YEAR) for _ in range(1 + _CALLS)]
    month = [await _timed(rig, rpc, _MONTH) for _ in range(_CALLS)]
    return Row(rpc, month, year, raw)


async def _timed(rig: AnalyticsRig, rpc: str, span: Mapping[str, str]) -> float:
    request = _request(rpc, span)
    started = time.perf_counter()
    await getattr(rig.stub, rpc)(request, metadata=rig.metadata, timeout=60)
    return (time.perf_counter() - started) * 1000


def _request(rpc: str, span: Mapping[str, str]) -> object:
    kind = getattr(pb, f"{rpc}Request")
    if "as_of" in kind.DESCRIPTOR.fields_by_name:
        return kind(as_of=f"{span['end_date']}T12:00:00Z")
    interval = {"interval": _INTERVALS[rpc]} if rpc in _INTERVALS else {}
    return kind(**span, **interval)


def _p95(times: Sequence[float]) -> float:
    return sorted(times)[len(times) * 95 // 100]


async def _sections() -> str:
    sections = []
    for events in _SIZES:
        with tempfile.TemporaryDirectory() as folder:
            table, seconds = await measured(Path(folder), events)
        head = f"## {events:,} events\n\nFilling the views with them, and comparing both, took {seconds:.0f} s.\n\n"
        columns = ("report", "month p50", "month p95", "year, cold", "year p50", "year p95", "raw events, year")
        line = f"| {' | '.join(columns)} |\n| --- |{' ---: |' * (len(columns) - 1)}\n"
        sections.append(head + line + table)
    with tempfile.TemporaryDirectory() as folder:
        sections.append(await ingest.section(Path(folder)))
    return "\n".join(sections)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.analytics", description=__doc__)
    parser.add_argument("--output", type=Path, default=_DOCUMENT, help=f"where to write (default: {_DOCUMENT.name})")
    options = parser.parse_args()
    machine = proc.machine(("chdb", "clickhouse-connect", "grpcio"))
    try:
        sections = asyncio.run(_sections())
    except LocalError as error:
        sys.exit(f"bench: {error}")
    about = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    document = _TEMPLATE.read_text(encoding="utf-8").format(
        date=datetime.now(UTC).date().isoformat(), sections=sections, machine=about, calls=_CALLS
    )
    sys.stdout.write(document)
    options.output.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
