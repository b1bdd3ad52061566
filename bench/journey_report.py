"""What a load came to: a table for the terminal, and a page with a plot for each call."""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from statistics import median, quantiles
from typing import Protocol

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 160, 56, 20
_HEADINGS = ("call", "requests", "a second", "failed", "p50, ms", "p95, ms", "p99, ms", "longest, ms")
_STYLE = (
    "body{font:15px system-ui;max-width:60em;margin:2em auto}"
    "td,th{padding:.2em .8em;text-align:right}td:first-child{text-align:left}"
)


class Answered(Protocol):
    """One request: what, when it was due after the start and how long it took, in seconds, and why it failed."""

    @property
    def call(self) -> str: ...
    @property
    def due(self) -> float: ...
    @property
    def took(self) -> float: ...
    @property
    def failure(self) -> str: ...


def table(answers: Sequence[Answered]) -> str:
    """The figures of each call, in columns."""
    rows = [_HEADINGS, *_rows(answers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "".join(f"{'  '.join(map(_padded, row, widths))}\n" for row in rows)


def page(answers: Sequence[Answered], *, title: str) -> str:
    """The same as HTML that needs nothing else, with every request as a dot: blue for an answer, red for a failure."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in _HEADINGS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in _rows(answers))
    why = Counter(f"{answer.call}: {answer.failure}" for answer in answers if answer.failure)
    failures = "".join(f"<li>{number} × {escape(what)}</li>" for what, number in why.most_common())
    plots = "".join(f"<h2>{escape(call)}</h2>{_plot(those)}" for call, those in _by_call(answers).items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><table><tr>{head}</tr>{body}</table><ul>{failures}</ul>{plots}</html>\n"
    )


def _padded(cell: str, width: int) -> str:
    """Words to the left, figures to the right."""
    return cell.ljust(width) if "/" in cell or cell == _HEADINGS[0] else cell.rjust(width)


def _by_call(answers: Iterable[Answered]) -> dict[str, list[Answered]]:
    found: dict[str, list[Answered]] = {}
    for answer in answers:
        found.setdefault(answer.call, []).append(answer)
    return found


def _rows(answers: Sequence[Answered]) -> list[tuple[str, ...]]:
    span = max((answer.due + answer.took for answer in answers), default=1.0)
    return [_row(call, those, span) for call, those in _by_call(answers).items()]


def _row(call: str, answers: Sequence[Answered], span: float) -> tuple[str, ...]:
    times = [answer.took * 1000 for answer in answers]
    cuts = quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    figures = (median(times), cuts[94], cuts[98], max(times))
    failed = sum(bool(answer.failure) for answer in answers)
    return (call, f"{len(times):,}", f"{len(times) / span:.1f}", str(failed), *(f"{figure:.1f}" for figure in figures))


def _plot(answers: Sequence[Answered]) -> str:
    """A dot for each request: when it was due, from left to right, and how long it took, upwards."""
    longest = max(answer.took for answer in answers) or 1.0
    end = max(answer.due for answer in answers) or 1.0
    dots = "".join(
        f'<circle cx="{_LEFT + answer.due / end * (_WIDTH - _LEFT - 8):.1f}"'
        f' cy="{(1 - answer.took / longest) * (_HEIGHT - _BOTTOM - 8) + 4:.1f}" r="2"'
        f' fill="{"#c22" if answer.failure else "#26c"}" fill-opacity=".5"/>'
        for answer in answers
    )
    floor = _HEIGHT - _BOTTOM
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" font-size="11"><path d="M{_LEFT} 0V{floor}H{_WIDTH}" stroke="#888"'
        f' fill="none"/><text x="0" y="12">{longest * 1000:.0f} ms</text><text x="0" y="{floor}">0 ms</text>'
        f'<text x="{_WIDTH - 40}" y="{_HEIGHT - 4}">{end:.0f} s</text>{dots}</svg>'
    )
