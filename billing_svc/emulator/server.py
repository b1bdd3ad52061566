"""The HTTP server: who may call, which handler answers, and one transaction around the two."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl

import structlog
from aiohttp import web

from billing_svc.emulator import API_VERSION, answers, expansion
from billing_svc.emulator.answers import Answer
from billing_svc.emulator.call import Call
from billing_svc.emulator.clock import Clock, RealClock
from billing_svc.emulator.faults import Faults
from billing_svc.emulator.in_flight import InFlight
from billing_svc.emulator.objects import Json, Objects, new_id
from billing_svc.emulator.pages import Act, Pages
from billing_svc.emulator.params import Params, decode
from billing_svc.emulator.passing import catch_up
from billing_svc.emulator.refusals import Refused
from billing_svc.emulator.routes import ROUTES, Handler
from billing_svc.emulator.webhooks import Deliveries
from svckit.process import background

log = structlog.get_logger(__name__)

_KEY = re.compile(r"Bearer sk_test_\w+")
_SHUTDOWN_SECONDS = 1.0
_TICK_SECONDS = 10.0


class Emulator:
    """Answers Stripe's API from the file of objects."""

    def __init__(self, *, objects: Objects, clock: Clock, faults: Faults, deliveries: Deliveries | None) -> None:
        self._objects = objects
        self._clock = clock
        self._deliveries = deliveries
        self._faults = faults
        self._in_flight = InFlight()

    def app(self) -> web.Application:
        app = web.Application()
        for method, path, handler in ROUTES:
            app.router.add_route(method, path, self._served_by(handler))
        app.router.add_post("/_emulator/faults", self._faults.add)
        app.router.add_get("/_emulator/faults", self._faults.list_all)
        app.router.add_delete("/_emulator/faults", self._faults.forget)
        Pages(self._act).add_to(app.router)
        app.router.add_get("/readyz", _ready)
        app.router.add_route("*", "/{rest:.*}", _unknown)
        return app

    async def keep_time(self) -> None:
        """For ever: let happen what is due to the customers who live in real time."""
        while True:
            with self._objects.transaction():
                catch_up(Call(self._objects, self._clock, Params({}), webhooks=self._deliveries is not None))
            if self._deliveries:
                self._deliveries.wake()
            await asyncio.sleep(_TICK_SECONDS)

    def _served_by(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            body = (await request.read()).decode(errors="replace")
            key = request.headers.get("Idempotency-Key", "")
            try:
                with self._in_flight.alone(request, key):
                    await self._faults.stall(request)
                    answer = self._answer(request, handler, body)
                    await self._faults.strike(request)
            except Refused as refused:
                answer = Answer(refused.status, refused.envelope())
            return _response(answer, key)

        return serve

    def _answer(self, request: web.Request, handler: Handler, body: str) -> Answer:
        key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
        try:
            _admit(request)
            in_body = request.method == "POST"
            pairs = parse_qsl(body, keep_blank_values=True) if in_body else request.query.items()
            values = decode(pairs)
            with self._objects.transaction():
                return self._once(request, handler, values, key)
        except Refused as refused:
            return Answer(refused.status, refused.envelope())
        finally:
            if self._deliveries:
                self._deliveries.wake()

    def _once(self, request: web.Request, handler: Handler, values: Json, key: str) -> Answer:
        """What the key was answered before, or what the handler answers now; kept in the handler's transaction."""
        if not key:
            return self._call(request, handler, values, key)
        asked, now = answers.fingerprint(request.method, request.path, values), self._clock.now()
        if (known := answers.recall(self._objects, key, asked, now=now)) is not None:
            return known
        answer = self._call(request, handler, values, key)
        answers.keep(self._objects, key, asked, answer, now=now)
        return answer

    def _begin(self, request: web.Request, values: Json, key: str) -> Call:
        return Call(
            objects=self._objects,
            clock=self._clock,
            params=Params(values),
            id=request.match_info.get("id", ""),
            idempotency_key=key,
            webhooks=self._deliveries is not None,
            origin=f"{request.scheme}://{request.host}",
        )

    def _act(self, request: web.Request, act: Act) -> web.Response:
        """What a page does, as one call."""
        try:
            with self._objects.transaction():
                return act(self._begin(request, {}, ""))
        except Refused as refused:
            return web.Response(text=str(refused), status=refused.status)
        finally:
            if self._deliveries:
                self._deliveries.wake()

    def _call(self, request: web.Request, handler: Handler, values: Json, key: str) -> Answer:
        call = self._begin(request, values, key)
        try:
            wanted = expansion.paths(call.params.texts("expand"))
            with self._objects.transaction():
                if failure := self._faults.failure(request):
                    raise failure
                answer = handler(call)
                call.params.refuse_unknown()
        except Refused as refused:
            return Answer(refused.status, refused.envelope())
        if isinstance(answer, Refused):
            return Answer(answer.status, answer.envelope())
        return Answer(200, expansion.shown(self._objects, answer, wanted))


@asynccontextmanager
async def running(*, listen: str, data: Path, webhook_url: str, webhook_secret: str) -> AsyncIterator[str]:
    """Serve on `host:port` from the file `data`; yields the server's URL."""
    async with AsyncExitStack() as stack:
        objects = Objects(data)
        stack.callback(objects.close)
        deliveries, faults = None, Faults()
        if webhook_url:
            deliveries = Deliveries(objects=objects, faults=faults, url=webhook_url, secret=webhook_secret)
            await stack.enter_async_context(background(deliveries.run))
        emulator = Emulator(objects=objects, clock=RealClock(), faults=faults, deliveries=deliveries)
        await stack.enter_async_context(background(emulator.keep_time))
        runner = web.AppRunner(emulator.app(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        host, _, port = listen.rpartition(":")
        await web.TCPSite(runner, host, int(port)).start()
        url = f"http://{host}:{runner.addresses[0][1]}"
        log.warning("Stripe emulator: no real money", url=url, data=str(data), webhooks=webhook_url or "none")
        yield url


def _admit(request: web.Request) -> None:
    if not _KEY.fullmatch(request.headers.get("Authorization", "")):
        raise Refused("The emulator takes test keys only: Authorization: Bearer sk_test_…", status=401)
    version = request.headers.get("Stripe-Version", API_VERSION)
    if version != API_VERSION:
        raise Refused(f"The emulator speaks API version {API_VERSION} only, not {version}.")


def _response(answer: Answer, key: str) -> web.Response:
    headers = {"Request-Id": new_id("req"), "Stripe-Version": API_VERSION}
    if key:
        headers["Idempotency-Key"] = key
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    return web.json_response(answer.body, status=answer.status, headers=headers)


async def _ready(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _unknown(request: web.Request) -> web.Response:
    refused = Refused(f"Unrecognized request URL ({request.method}: {request.path}).", status=404)
    return _response(Answer(refused.status, refused.envelope()), "")
