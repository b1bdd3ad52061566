"""Put the files of swagger-ui-dist that `/docs` shows into `edge/docs/swagger-ui/`, from the npm package.

`python tools/vendor_swagger_ui.py` takes the version that `source.json` names, whose integrity must be as recorded;
`--version 5.x.y` takes another and records it. `npm` must be installed.
"""

import argparse
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "edge" / "docs" / "swagger-ui"
SOURCE = TARGET / "source.json"
PACKAGE = "swagger-ui-dist"
FILES = ("swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css", "LICENSE", "NOTICE")


def vendor(version: str, integrity: str | None) -> None:
    """Fetch a version and copy its files; stops if its integrity is not the given one."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not installed")
    with tempfile.TemporaryDirectory() as scratch:
        packed = subprocess.run(  # with the maintainer's own registry settings
            [npm, "pack", "--json", f"{PACKAGE}@{version}"], cwd=scratch, check=True, capture_output=True, text=True
        )
        (found,) = json.loads(packed.stdout)
        if integrity is not None and found["integrity"] != integrity:
            raise SystemExit(f"{PACKAGE} {version} has integrity {found['integrity']}, not {integrity}")
        with tarfile.open(Path(scratch) / found["filename"]) as archive:
            for name in FILES:
                member = archive.extractfile(f"package/{name}")
                if member is None:
                    raise SystemExit(f"{PACKAGE} {version} has no {name}")
                (TARGET / name).write_bytes(member.read())
    recorded = {"package": PACKAGE, "version": found["version"], "integrity": found["integrity"]}
    SOURCE.write_text(json.dumps(recorded, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", help="take this version and record its integrity")
    options = parser.parse_args()
    if options.version:
        vendor(options.version, None)
    else:
        recorded = json.loads(SOURCE.read_text())
        vendor(recorded["version"], recorded["integrity"])


if __name__ == "__main__":
    main()
