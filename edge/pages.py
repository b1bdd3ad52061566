"""The few paths that are not RPCs: what the edge says of itself and of the services behind it."""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from importlib import resources
from importlib.metadata import version
from types import MappingProxyType

import grpc
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from edge import docs, health
from edge.assets import Asset
from edge.console import analytics
from edge.transcoder import delivered

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

Page = Callable[[web.BaseRequest], Awaitable[web.Response]]


def pages(*, channels: Mapping[str, grpc.aio.Channel], document: bytes) -> dict[tuple[str, str], Page]:
    """The handler of each method and path.

    `channels` is by the service's short name, as `/health` shows it; `document` is the OpenAPI document.
    """
    index = _json(
        {
            "name": "chatmesh",
            "version": version("chatmesh"),
            "links": {
                "docs": "/docs",
                "analytics": "/console/analytics",
                "openapi": "/openapi.json",
                "health": "/health",
                "metrics": "/metrics",
                "keys": "/.well-known/jwks.json",
            },
        }
    )

    async def home(_request: web.BaseRequest) -> web.Response:
        return index()

    async def show_health(_request: web.BaseRequest) -> web.Response:
        services = await health.states(channels)
        well = all(state["status"] == "up" for state in services.values())
        body = {"status": "up" if well else "degraded", "edge": {"status": "up"}, "services": services}
        return _json(body, status=200 if well else 503)()

    async def alive(_request: web.BaseRequest) -> web.Response:
        return web.Response(text="ok\n")

    async def metrics(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    found = {
        "/": home,
        "/health": show_health,
        "/livez": alive,
        "/readyz": alive,
        "/metrics": metrics,
        **dict(_reference(document)),
        **dict(_dashboard()),
    }
    return {(method, path): page for path, page in found.items() for method in ("GET", "HEAD")}


def _reference(document: bytes) -> Iterator[tuple[str, Page]]:
    """The OpenAPI document, the page that shows it, and that page's files."""
    files = docs.assets()
    text = docs.page(document, files).encode()
    yield "/openapi.json", _fixed(document, "application/json")
    yield "/docs", _fixed(text, "text/html", {"Content-Security-Policy": docs.POLICY})
    yield from _kept(files.values())


def _dashboard() -> Iterator[tuple[str, Page]]:
    """The page of the reports, and its files."""
    files = analytics.assets()
    yield (
        "/console/analytics",
        _fixed(analytics.page(files).encode(), "text/html", {"Content-Security-Policy": analytics.POLICY}),
    )
    yield from _kept(files)


def _kept(files: Iterable[Asset]) -> Iterator[tuple[str, Page]]:
    for file in files:
        kept = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": f'W/"{file.hash}"'}
        yield file.path, _fixed(file.data, file.content_type, kept)


def _fixed(body: bytes, content_type: str, headers: Mapping[str, str] = NO_HEADERS) -> Page:
    """A page that is always the same."""

    async def show(request: web.BaseRequest) -> web.Response:
        response = web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)
        return await delivered(request, response)

    return show


def _json(body: object, *, status: int = 200) -> Callable[[], web.Response]:
    """A JSON document for people too: indented. A response object serves one request, so this makes them."""
    text = json.dumps(body, indent=2) + "\n"
    return lambda: web.Response(text=text, status=status, content_type="application/json")


def descriptors() -> bytes:
    """The descriptors of the product's protos, with their comments, as `make gen` wrote them."""
    return (resources.files("chatmesh") / "descriptors.binpb").read_bytes()
