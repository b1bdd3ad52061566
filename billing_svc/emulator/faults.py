"""Faults on request: what a network does to an answer after Stripe has committed.

`POST /_emulator/faults` with `{"path": "/v1/subscriptions", "effect": "drop", "times": 2}` as JSON: the next two POSTs
to that path are done, and then `drop`: the connection is cut, or `hold`: no answer comes until the caller gives up.
`GET` lists those that still wait.
"""

import asyncio
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

_HOLD_SECONDS = 3600


class Fault(BaseModel):
    """One thing that will go wrong, so many times."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(pattern="^/v1/")
    effect: Literal["drop", "hold"]
    times: int = Field(default=1, ge=1)


class Faults:
    """The faults that are waiting for their request."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    async def add(self, request: web.Request) -> web.Response:
        try:
            self._waiting.append(Fault.model_validate_json(await request.read()))
        except ValidationError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.Response(status=204)

    async def list_all(self, _request: web.Request) -> web.Response:
        return web.json_response([fault.model_dump() for fault in self._waiting])

    async def strike(self, request: web.Request) -> None:
        """Spoil the answer to this request if its turn has come."""
        fault = next((fault for fault in self._waiting if fault.path == request.path), None)
        if fault is None or request.method != "POST":
            return
        fault.times -= 1
        if not fault.times:
            self._waiting.remove(fault)
        if fault.effect == "hold":
            await asyncio.sleep(_HOLD_SECONDS)
        if request.transport:
            request.transport.abort()
