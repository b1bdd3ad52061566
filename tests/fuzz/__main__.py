"""`python -m tests.fuzz`: each target for some seconds, in a process of its own; `python -m tests.fuzz NAME` runs one.

What is found stays in .fuzz/: the corpus of each target, and the input of a finding as crash-…; give that to the
target again with `--replay FILE`.
"""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

HOME = Path(".fuzz")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", nargs="?", help="only this one")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--replay", type=Path, help="run the target once, on this file")
    found = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write("atheris, the fuzzer, has wheels for Linux on x86-64 and Python 3.11 to 3.14 only.\n")
        return 1
    from tests.fuzz import fuzzing

    if found.target:
        fuzzing.run(found.target, HOME, seconds=found.seconds, replay=found.replay)
    failed = [name for name in fuzzing.names() if _fuzz(name, found.seconds) != 0]
    sys.stdout.write(f"findings in: {', '.join(failed)}; see {HOME}/\n" if failed else "no findings\n")
    return bool(failed)


def _fuzz(name: str, seconds: int) -> int:
    sys.stdout.write(f"fuzzing {name} for {seconds} s\n")
    sys.stdout.flush()
    return subprocess.run([sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
