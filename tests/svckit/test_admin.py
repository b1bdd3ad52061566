import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from svckit import admin


async def fine() -> None:
    pass


async def broken() -> None:
    raise OSError("password authentication failed for user hunter2")


async def hanging() -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def page(path: str, **checks: admin.Check) -> AsyncIterator[aiohttp.ClientResponse]:
    async with (
        admin.serving(name="shop", listen="127.0.0.1:0", checks=checks) as url,
        aiohttp.ClientSession() as http,
        http.get(url + path) as response,
    ):
        yield response


async def test_health_names_the_process_and_each_check_with_its_milliseconds() -> None:
    async with page("/health", postgres=fine) as response:
        body = await response.json()

    assert response.status == 200
    assert (body["name"], body["status"], body["checks"]["postgres"]["status"]) == ("shop", "ok", "ok")
    assert body["checks"]["postgres"]["ms"] >= 0


async def test_one_failing_check_makes_the_whole_unhealthy_and_tells_no_secret() -> None:
    async with page("/health", postgres=broken, nats=fine) as response:
        body = await response.json()

    assert response.status == 503
    assert {name: check["status"] for name, check in body["checks"].items()} == {"postgres": "failing", "nats": "ok"}
    assert "hunter2" not in await response.text()


@pytest.mark.slow
async def test_a_check_that_hangs_is_a_failure_after_two_seconds() -> None:
    async with page("/health", postgres=hanging) as response:
        body = await response.json()

    assert response.status == 503
    assert body["checks"]["postgres"]["status"] == "timeout"


async def test_ready_follows_the_checks_and_live_does_not() -> None:
    async with page("/readyz", postgres=broken) as ready, page("/livez", postgres=broken) as live:
        pass
    async with page("/readyz", postgres=fine) as ready_again:
        pass

    assert (ready.status, live.status, ready_again.status) == (503, 200, 200)


async def test_metrics_are_in_the_format_of_prometheus() -> None:
    async with page("/metrics") as response:
        text = await response.text()

    assert response.content_type == "text/plain"
    assert "process_cpu_seconds_total" in text
