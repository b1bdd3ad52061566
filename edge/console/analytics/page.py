"""The HTML of `/console/analytics`, always the same, and the files that it asks for."""

from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template

from edge.assets import Asset

_FOLDER = resources.files("edge") / "console" / "analytics"
_FILES = (
    ("dashboard.css", "text/css", _FOLDER),
    ("dashboard.js", "text/javascript", _FOLDER),
    ("chart.umd.min.js", "text/javascript", _FOLDER / "chart.js"),
)
# Scripts and styles from here alone, and nothing written into the page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def assets() -> Sequence[Asset]:
    """The files of the page."""
    return [Asset("/console/analytics", name, (folder / name).read_bytes(), kind) for name, kind, folder in _FILES]


def page(files: Iterable[Asset]) -> str:
    template = Template((_FOLDER / "dashboard.html").read_text(encoding="utf-8"))
    return template.substitute({asset.variable: asset.path for asset in files})
