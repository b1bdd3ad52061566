"""The measurements as text for people: medians of the rounds, and ratios within a round."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TypeAlias

from bench.load import AT_ONCE, Sample
from bench.rows import ROWS, Row

# By row and by what was measured: `edge`, `Envoy` or `direct`.
Round: TypeAlias = Mapping[tuple[str, str], Sample]

_NONE = "–"
_TEMPLATE = Path(__file__).with_name("template.md")


def tables(rounds: Sequence[Round]) -> str:
    """Two tables in Markdown: whole requests, and streams by the chunk."""
    unary, streams = ([row for row in ROWS.values() if row.streams is wanted] for wanted in (False, True))
    return _table("request", unary, rounds) + "\n" + _table("chunk", streams, rounds)


def _table(unit: str, rows: Sequence[Row], rounds: Sequence[Round]) -> str:
    head = (
        unit if unit == "request" else "stream",
        "through",
        f"CPU, µs a {unit}",
        "× Envoy",
        f"CPU of the backend, µs a {unit}",
        f"{unit}s/s",
        "× Envoy",
        "p50, ms",
        "p99, ms",
        "p50 alone, ms",
    )
    lines = [head, ("---", "---", *("---:" for _ in head[2:]))]
    lines += [_line(row, name, rounds) for row in rows for name in ("edge", "Envoy", "direct")]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _line(row: Row, name: str, rounds: Sequence[Round]) -> tuple[str, ...]:
    def figure(of: Callable[[Sample], float], digits: int) -> str:
        return f"{median(of(found[row.name, name]) for found in rounds):,.{digits}f}"

    def ratio(of: Callable[[Sample], float]) -> str:
        if name == "Envoy":
            return "1"
        found = sorted(of(each[row.name, name]) / of(each[row.name, "Envoy"]) for each in rounds)
        return f"**{median(found):.2f}** ({found[0]:.2f}–{found[-1]:.2f})"

    proxied = name != "direct"
    digits = 1 if row.streams else 0
    return (
        row.name,
        name,
        figure(_own_cpu, digits) if proxied else _NONE,
        ratio(_own_cpu) if proxied else _NONE,
        figure(lambda sample: sample.cpu["backend"], digits),
        figure(lambda sample: sample.rate, 0),
        ratio(lambda sample: sample.rate),
        figure(lambda sample: sample.p50, 1),
        figure(lambda sample: sample.p99, 1),
        figure(lambda sample: sample.alone, 2),
    )


def _own_cpu(sample: Sample) -> float:
    return sample.cpu["itself"]


def document(rounds: Sequence[Round], *, machine: Mapping[str, str]) -> str:
    """The whole of docs/benchmarks.md."""
    about = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    return _TEMPLATE.read_text(encoding="utf-8").format(
        date=datetime.now(UTC).date().isoformat(),
        rounds=len(rounds),
        tables=tables(rounds),
        machine=about,
        at_once=AT_ONCE,
    )
