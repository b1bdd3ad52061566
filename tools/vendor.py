"""Put the files of other people's packages that our pages show into the repository, from npm.

`python tools/vendor.py swagger-ui-dist` takes the version that its `source.json` names, whose integrity must be as
recorded; `--version 5.x.y` takes another and records it. `npm` must be installed.
"""

import argparse
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

EDGE = Path(__file__).resolve().parent.parent / "edge"


@dataclass(frozen=True, slots=True)
class Package:
    """Where its files go, and which of them; a file keeps its name and loses its folder."""

    folder: Path
    files: Sequence[str]


PACKAGES = {
    "swagger-ui-dist": Package(
        EDGE / "docs" / "swagger-ui",
        ("swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css", "LICENSE", "NOTICE"),
    ),
    "chart.js": Package(EDGE / "console" / "analytics" / "chart.js", ("dist/chart.umd.min.js", "LICENSE.md")),
}


@contextmanager
def fetched(name: str, version: str, integrity: str | None) -> Iterator[tuple[tarfile.TarFile, str]]:
    """A version's files, below `package/`, and its integrity; stops if that is not the given one."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not installed")
    with tempfile.TemporaryDirectory() as scratch:
        packed = subprocess.run(  # with the maintainer's own registry settings
            [npm, "pack", "--json", f"{name}@{version}"], cwd=scratch, check=True, capture_output=True, text=True
        )
        (found,) = json.loads(packed.stdout)
        if integrity is not None and found["integrity"] != integrity:
            raise SystemExit(f"{name} {version} has integrity {found['integrity']}, not {integrity}")
        with tarfile.open(Path(scratch) / found["filename"]) as archive:
            yield archive, found["integrity"]


def text_of(archive: tarfile.TarFile, file: str) -> bytes:
    """A file of a package; stops where there is none."""
    try:
        member = archive.extractfile(f"package/{file}")
    except KeyError:
        member = None
    if member is None:
        raise SystemExit(f"the package has no {file}")
    return member.read()


def vendor(name: str, version: str, integrity: str | None) -> None:
    """Fetch a version and copy its files; stops if its integrity is not the given one."""
    package = PACKAGES[name]
    with fetched(name, version, integrity) as (archive, found):
        for file in package.files:
            (package.folder / Path(file).name).write_bytes(text_of(archive, file))
    recorded = {"package": name, "version": version, "integrity": found}
    (package.folder / "source.json").write_text(json.dumps(recorded, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--version", help="take this version and record its integrity")
    options = parser.parse_args()
    if options.version:
        vendor(options.package, options.version, None)
    else:
        recorded = json.loads((PACKAGES[options.package].folder / "source.json").read_text())
        vendor(options.package, recorded["version"], recorded["integrity"])


if __name__ == "__main__":
    main()
