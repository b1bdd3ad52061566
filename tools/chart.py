"""Bring into helm/chatmesh what is made elsewhere: rules and dashboards, and the table of values in its README.

`--check` writes nothing and fails if that is not fresh.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
CHART = ROOT / "helm" / "chatmesh"
_TABLE = re.compile(r"(?<=<!-- values -->\n).*(?=<!-- end of values -->)", re.DOTALL)
_LONGEST_DEFAULT = 60


def wanted() -> Mapping[Path, str]:
    """Every file that is made here, and what it must hold."""
    readme = CHART / "README.md"
    copies = {CHART / "files" / "rules.yaml": ROOT / "observability" / "prometheus" / "rules.yaml"} | {
        CHART / "files" / "dashboards" / path.name: path for path in (ROOT / "observability" / "grafana").glob("*.json")
    }
    made = {target: source.read_text(encoding="utf-8") for target, source in copies.items()}
    return made | {readme: _TABLE.sub(lambda _: _table(), readme.read_text(encoding="utf-8"))}


def stale() -> list[Path]:
    """The files that are not as they must be, and those that nothing makes any more."""
    files = wanted()
    old = set((CHART / "files").rglob("*.*")) - files.keys()
    return sorted(old | {path for path, text in files.items() if not path.exists() or path.read_text() != text})


def _table() -> str:
    rows = [f"| `{path}` | {default} | {said} |\n" for path, default, said in _documented()]
    return f"| value | default | |\n|---|---|---|\n{''.join(rows)}"


def _documented() -> Iterator[tuple[str, str, str]]:
    """Each value with a line `# --` above it: its path, default and what is said."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    for path, key, node in _nodes(yaml.compose(text), ""):
        line, column = key.start_mark.line, key.start_mark.column
        above = lines[line - 1].strip()
        if above.startswith("# -- ") and not lines[line][:column].strip():
            yield path, _default(node), above.removeprefix("# -- ").replace("|", "\\|")


def _nodes(node: yaml.Node | None, path: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = f"{path}.{key.value}".lstrip(".")
            yield inner, key, value
            yield from _nodes(value, inner)


def _default(node: yaml.Node) -> str:
    value = yaml.safe_load(yaml.serialize(node))
    shown = value if isinstance(value, str) else json.dumps(value)
    return f"`{shown}`" if 0 < len(shown) <= _LONGEST_DEFAULT else "see `values.yaml`" if shown else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        print(*(f"not fresh: {path.relative_to(ROOT)}" for path in stale()), sep="\n", end="")
        return 1 if stale() else 0
    files = wanted()
    for path in stale():
        if path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
