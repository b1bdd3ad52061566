"""The admin port: what operators and probes ask a process over HTTP.

`/livez` (the process answers), `/readyz` and `/health` (each check's state and milliseconds; 503 if one fails),
`/metrics` (Prometheus).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypedDict

import prometheus_client
import structlog
from aiohttp import web

Check = Callable[[], Awaitable[None]]

_CHECK_TIMEOUT = 2.0

log = structlog.get_logger(__name__)


class CheckState(TypedDict):
    """How one check went."""

    status: str
    ms: float


@asynccontextmanager
async def serving(*, name: str, listen: str, checks: Mapping[str, Check]) -> AsyncIterator[str]:
    """Serve the admin port of the process called `name`; yields its URL. A check fails by raising."""
    runner = web.AppRunner(_app(name, checks), access_log=None)
    await runner.setup()
    try:
        host, _, port = listen.rpartition(":")
        await web.TCPSite(runner, host, int(port)).start()
        bound_host, bound_port = runner.addresses[0][:2]
        yield f"http://{bound_host}:{bound_port}"
    finally:
        await runner.cleanup()


def _app(name: str, checks: Mapping[str, Check]) -> web.Application:
    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        _, ok = await _run_all(checks)
        return web.Response(text="ok\n" if ok else "not ready\n", status=200 if ok else 503)

    async def health(_request: web.Request) -> web.Response:
        states, ok = await _run_all(checks)
        body = {"name": name, "status": "ok" if ok else "failing", "checks": states}
        return web.json_response(body, status=200 if ok else 503)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=prometheus_client.generate_latest(), headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.add_routes([web.get(f"/{handler.__name__}", handler) for handler in (livez, readyz, health, metrics)])
    return app


async def _run_all(checks: Mapping[str, Check]) -> tuple[dict[str, CheckState], bool]:
    states = await asyncio.gather(*(_run(name, check) for name, check in checks.items()))
    return dict(zip(checks, states, strict=True)), all(state["status"] == "ok" for state in states)


async def _run(name: str, check: Check) -> CheckState:
    started = time.perf_counter()
    status = "ok"
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT):
            await check()
    except TimeoutError:
        status = "timeout"
    except Exception as error:  # noqa: BLE001 - whatever a check raises, it has failed
        # Why is for the log: anybody near may read the page.
        log.warning("a health check failed", check=name, error=repr(error))
        status = "failing"
    return {"status": status, "ms": round((time.perf_counter() - started) * 1000, 2)}
