"""The HTML of `/docs`, made from the OpenAPI document, and the files that it asks for."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from importlib import resources
from string import Template
from typing import Any

from edge.assets import Asset

_FOLDER = resources.files("edge") / "docs"
_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "docs.css": "text/css",
    "docs.js": "text/javascript",
}
# Scripts and styles from here alone, and nothing written into the page; images may be in the style sheet.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def assets() -> Mapping[str, Asset]:
    """The files of the page by name."""
    return dict(_assets())


def page(document: bytes, files: Mapping[str, Asset]) -> str:
    """The page, with every route of the document in it for those who read without JavaScript."""
    described = json.loads(document)
    places = {asset.variable: asset.path for asset in files.values()}
    template = Template((_FOLDER / "docs.html").read_text(encoding="utf-8"))
    info = described["info"]
    return template.substitute(
        places, title=escape(info["title"]), version=escape(info["version"]), routes="".join(_sections(described))
    )


def _assets() -> Iterator[tuple[str, Asset]]:
    for name, content_type in _FILES.items():
        folder = _FOLDER / "swagger-ui" if name.startswith("swagger-ui") else _FOLDER
        yield name, Asset("/docs", name, (folder / name).read_bytes(), content_type)


def _sections(document: Mapping[str, Any]) -> Iterator[str]:
    """A heading and a table for each tag."""
    rows: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, place in document["paths"].items():
        for method, operation in place.items():
            if "operationId" in operation:
                rows[operation["tags"][0]].append(_row(path, method, operation))
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2><p>{escape(tag.get('description', ''))}</p>"
        yield f"<table>{''.join(rows[tag['name']])}</table>"


def _row(path: str, method: str, operation: Mapping[str, Any]) -> str:
    route = f"<code>{method.upper()} {escape(path)}</code>"
    return f"<tr><td>{route}</td><td>{escape(operation['summary'])}</td></tr>"
