"""One target under atheris: instrumented, seeded, bounded."""

import sys
from pathlib import Path
from typing import NoReturn

import atheris

with atheris.instrument_imports(include=["edge.transcoder"]):
    from tests.fuzz.targets import TARGETS


def names() -> list[str]:
    return list(TARGETS)


def run(name: str, home: Path, *, seconds: int, replay: Path | None) -> NoReturn:
    """Fuzz until the time is over, or until something is found; ends the process."""
    target, corpus = TARGETS[name], home / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    flags = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-verbosity=0", "-print_final_stats=1"]
    place = f"-artifact_prefix={home}/{name}-"
    atheris.Setup([sys.argv[0], str(replay)] if replay else [sys.argv[0], *flags, place, str(corpus)], target.run)
    atheris.Fuzz()
    sys.exit(0)
