"""A provider that answers any request with what it was told to: for what the fake one cannot say."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Scripted:
    """Where it is, and the headers, paths, bodies and connections that it was asked with."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    connections: list[object] = field(default_factory=list)


@asynccontextmanager
async def answering(*answers: tuple[int, Any]) -> AsyncIterator[Scripted]:
    """Answer one request after another with a status and JSON, or with the events of a stream."""
    scripted, left = Scripted(), list(answers)

    async def answer(request: web.Request) -> web.Response:
        scripted.paths.append(request.path)
        scripted.headers.append(request.headers)
        scripted.bodies.append(await request.json())
        scripted.connections.append(request.transport)
        status, body = left.pop(0)
        if isinstance(body, str | bytes):
            data = body.encode() if isinstance(body, str) else body
            return web.Response(status=status, body=data, content_type="text/event-stream")
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        scripted.url = f"http://{host}:{port}"
        yield scripted
    finally:
        await runner.cleanup()


def stream(*events: Mapping[str, Any]) -> str:
    """The events as a server sends them, named for their `type` if they have one."""
    return "".join(f"{_name(event)}data: {json.dumps(event)}\n\n" for event in events)


def _name(event: Mapping[str, Any]) -> str:
    return f"event: {event['type']}\n" if "type" in event else ""
