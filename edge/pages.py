"""The few paths that are not RPCs: what the edge says of itself and of the services behind it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from importlib.metadata import version

import grpc
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from edge import docs, health
from edge.transcoder import Transcoder

Page = Callable[[web.BaseRequest], Awaitable[web.Response]]


def pages(
    *, channels: Mapping[str, grpc.aio.Channel], descriptors: bytes, transcoder: Transcoder
) -> dict[tuple[str, str], Page]:
    """The handler of each method and path. `channels` is by the service's short name, as `/health` shows it."""
    index = _json(
        {
            "name": "chatmesh",
            "version": version("chatmesh"),
            "links": {"docs": "/docs", "health": "/health", "metrics": "/metrics", "keys": "/.well-known/jwks.json"},
        }
    )
    routes = docs.page(descriptors, transcoder.routes)

    async def home(_request: web.BaseRequest) -> web.Response:
        return index()

    async def show_docs(_request: web.BaseRequest) -> web.Response:
        return web.Response(text=routes, content_type="text/html", headers=docs.HEADERS)

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
        "/docs": show_docs,
        "/health": show_health,
        "/livez": alive,
        "/readyz": alive,
        "/metrics": metrics,
    }
    return {(method, path): page for path, page in found.items() for method in ("GET", "HEAD")}


def _json(body: object, *, status: int = 200) -> Callable[[], web.Response]:
    """A JSON document for people too: indented. A response object serves one request, so this makes them."""
    text = json.dumps(body, indent=2) + "\n"
    return lambda: web.Response(text=text, status=status, content_type="application/json")


def descriptors() -> bytes:
    """The descriptors of the product's protos, with their comments, as `make gen` wrote them."""
    return (resources.files("chatmesh") / "descriptors.binpb").read_bytes()
