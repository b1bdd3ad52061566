"""Faults on request: what Stripe and the network between do on a bad day.

`POST /_emulator/faults` with `{"path": "/v1/subscriptions", "effect": "drop", "times": 2}` as JSON spoils the next two
requests to that path that are to change something. `drop`: it is done, and the connection cut before the answer;
`hold`: it is done, and no answer comes until the caller gives up; `stall`: it is not done, and no answer comes;
`delay`: it is done, and the answer comes a second later; `fail`: it is not done, but answered with a 500 that the key
then repeats; `busy`: it is not done, but answered with the 409 of a key whose first request is still at work.
While an answer is held back, a repeat with its key gets that 409 without a fault of its own.
With the path `webhooks`, until it is taken back: `hold` keeps them all, `duplicate` sends each twice, `reorder` sends
what waits newest first. `GET` lists the faults that still wait, `DELETE` takes all of them back, or those of one
`?effect=`.
"""

import asyncio
from typing import Literal, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from billing_svc.emulator.in_flight import key_in_use
from billing_svc.emulator.refusals import Refused

WEBHOOKS = "webhooks"
_ON_WEBHOOKS = ("hold", "duplicate", "reorder")
_ON_REQUESTS = ("drop", "hold", "stall", "delay", "fail", "busy")
_HOLD_SECONDS = 3600
_DELAY_SECONDS = 1


class Fault(BaseModel):
    """One thing that will go wrong, so many times."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(pattern="^(/v1/.+|webhooks)$")
    effect: Literal["drop", "hold", "stall", "delay", "fail", "busy", "duplicate", "reorder"]
    times: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _effect_fits(self) -> Self:
        if self.effect not in (_ON_WEBHOOKS if self.path == WEBHOOKS else _ON_REQUESTS):
            raise ValueError(f"effect: {self.effect} is nothing that happens to {self.path}")
        return self


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

    async def forget(self, request: web.Request) -> web.Response:
        effect = request.query.get("effect")
        self._waiting = [fault for fault in self._waiting if effect and fault.effect != effect]
        return web.Response(status=204)

    def on_webhooks(self, effect: str) -> bool:
        """Whether that happens to webhooks for now."""
        return any((fault.path, fault.effect) == (WEBHOOKS, effect) for fault in self._waiting)

    async def stall(self, request: web.Request) -> None:
        """Keep this request from being done, if its turn has come; its caller gives up in the meantime."""
        if self._take(request, "stall"):
            await asyncio.sleep(_HOLD_SECONDS)

    async def strike(self, request: web.Request) -> None:
        """Spoil the answer to this request, which was done, if its turn has come."""
        if self._take(request, "delay"):
            await asyncio.sleep(_DELAY_SECONDS)
        if self._take(request, "hold"):
            await asyncio.sleep(_HOLD_SECONDS)
        elif self._take(request, "drop") and request.transport:
            request.transport.abort()

    def failure(self, request: web.Request) -> Refused | None:
        """Why this request is not done although nothing is wrong with it, if its turn has come."""
        if self._take(request, "fail"):
            return Refused("An unknown error occurred", status=500, type_="api_error")
        if self._take(request, "busy"):
            return key_in_use()
        return None

    def _take(self, request: web.Request, effect: str) -> bool:
        for fault in self._waiting:
            if request.method != "GET" and (fault.path, fault.effect) == (request.path, effect):
                fault.times -= 1
                self._waiting = [each for each in self._waiting if each.times]
                return True
        return False
