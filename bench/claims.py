"""`make claims`: the README's table of claims, each with the command that shows it and what that measured last.

Figures are read from the pages that the benches write, so that no number is typed by hand; a test holds the README to
them. What a bench has not measured yet is not claimed.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parent.parent
README = _ROOT / "README.md"
_BEGIN, _END = "<!-- claims: python -m bench.claims -->\n", "<!-- end of claims -->\n"
_HEAD = "| claim | shown by | last measured |\n| --- | --- | --- |\n"


@dataclass(frozen=True, slots=True)
class Claim:
    """What we say, the command that shows it, and how its figure is read from the page that the command writes."""

    said: str
    command: str
    page: str = ""
    figure: Callable[[str], str] = lambda _: "passes, or the build does not"

    def row(self) -> str:
        """The row of the table; empty while there is no page."""
        if self.page and not (_ROOT / "docs" / self.page).exists():
            return ""
        text = (_ROOT / "docs" / self.page).read_text(encoding="utf-8") if self.page else ""
        on = f", {found[0]}" if (found := re.search(r"\d{4}-\d\d-\d\d", text)) else ""
        return f"| {self.said} | `{self.command}` | {self.figure(text)}{on} |\n"


def _cells(text: str, *first: str) -> list[str]:
    """The row of a page's tables that begins with these cells."""
    rows = ([cell.strip(" *`") for cell in line.strip("| ").split("|")] for line in text.splitlines() if "|" in line)
    return next(row for row in rows if tuple(row[: len(first)]) == first)


def _added(text: str) -> str:
    edge, direct = (float(_cells(text, "small GET", through)[-1]) for through in ("edge", "direct"))
    return f"{edge - direct:.2f} ms"


def _through_the_edge(text: str) -> str:
    slowest = min(_cells(text, *row)[5] for row in (("small GET", "edge"), ("page of 20 messages", "edge")))
    return f"{slowest} (pages of 20 messages)"


def _most_told(text: str) -> str:
    ratios = [float(_cells(text, call, "150")[-1]) for call in ("SignIn", "SignUp", "ForgotPassword")]
    return f"{max(max(ratio, 1 / ratio) for ratio in ratios):.3f}"


_SQL = {"auth": "ListSessions", "chat": "ListConversations", "billing": "GetSubscription"}
_MEMORY = {"auth": "GetMe", "chat": "ListModels", "billing": "ListPlans"}


def _calls_a_second(text: str) -> str:
    slowest, asking = (
        min((_cells(text, *row)[2] for row in rows.items()), key=lambda cell: int(cell.replace(",", "")))
        for rows in (_MEMORY, _SQL)
    )
    return f"{slowest} from memory, {asking} that ask PostgreSQL (the slowest of each)"


def _slowest_read(text: str) -> str:
    times = [float(_cells(text, *row)[5]) for rows in (_MEMORY, _SQL) for row in rows.items()]
    return f"{max(times):.1f} ms (p50 of the slowest)"


def _slowest_reports(text: str) -> str:
    """The first size that was measured, the last 30 days."""
    table = text.split("10,000,000 events")[0]
    times = {rpc: float(found) for rpc, found in re.findall(r"^\| `(Get\w+)` \| (\d+) ", table, re.MULTILINE)}
    overview = times.pop("GetOverview")
    return f"{max(times.values()):.0f} ms; the overview {overview:.0f} ms (p50 of the slowest)"


def _whole(text: str) -> str:
    """The most streams all of which came whole; no step means nothing to claim, and no page."""
    steps = re.findall(r"^\| (\d+) \| (\d+) \| \d+ \| \d+ \| \d", text, re.MULTILINE)
    return f"up to {max(int(streams) for streams, whole in steps if streams == whole)} at once"


CLAIMS = (
    Claim("The edge adds less than 5 ms to a request", "make bench", "benchmarks.md", _added),
    Claim("One edge serves at least 1,000 requests a second", "make bench", "benchmarks.md", _through_the_edge),
    Claim(
        "One replica of auth, of chat, of billing answers at least 500 calls a second",
        "make bench-services",
        "benchmarks-services.md",
        _calls_a_second,
    ),
    Claim(
        "A read of auth, chat or billing takes less than 20 ms, its queries included",
        "make bench-services",
        "benchmarks-services.md",
        _slowest_read,
    ),
    Claim(
        "The time of an answer does not tell who has an account: ratio below 1.15",
        "make bench-accounts",
        "benchmarks-accounts.md",
        _most_told,
    ),
    Claim(
        "A session's end is heard everywhere within a second",
        "make bench-accounts",
        "benchmarks-accounts.md",
        lambda text: f"{_cells(text, 'SignOut', '30')[3]} ms (p99)",
    ),
    Claim(
        "A plan that was bought is allowed within a second",
        "make bench-plans",
        "benchmarks-plans.md",
        lambda text: f"{_cells(text, 'all of them')[3]} ms (p99)",
    ),
    Claim(
        "No token is lost of answers that are streamed at once, at 20 tokens a second each",
        "make bench-streams",
        "benchmarks-streams.md",
        _whole,
    ),
    Claim(
        "A report of the last 30 days takes less than 20 ms, the overview less than 50 ms, with a million events",
        "make bench-analytics",
        "benchmarks-analytics.md",
        _slowest_reports,
    ),
    Claim(
        "Every replica restarts under load: no call fails, every reader of a stream has all of it",
        'make pytest ARGS="tests/operations/test_rolling.py"',
    ),
    Claim(
        "Events count exactly once, whatever crashes when",
        'make pytest ARGS="tests/analytics_svc/test_crashes.py"',
    ),
    Claim(
        "A change of plan costs what its preview said",
        'make pytest ARGS="tests/billing_svc/test_changing.py tests/billing_svc/test_metering.py"',
    ),
    Claim(
        "A database comes back from its dump",
        'make pytest ARGS="tests/operations/test_backup.py"',
    ),
)


def with_table(readme: str) -> str:
    """The README with the table as it must be; ValueError if it has no place for it."""
    before, rest = readme.split(_BEGIN)
    _, after = rest.split(_END)
    return f"{before}{_BEGIN}{_HEAD}{''.join(claim.row() for claim in CLAIMS)}{_END}{after}"


def main() -> None:
    """Write the table into the README."""
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write("README.md: the table of claims is new\n")


if __name__ == "__main__":
    main()
