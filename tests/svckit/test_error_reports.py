"""What error tracking is sent, taken in by a server that stands in for Sentry's."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.svckit.test_process import program

CRASHES = """
import structlog
from svckit import telemetry

password = "hush-local"
try:
    raise ValueError("hello ada@example.com, Bearer hush-hush-hush")
except ValueError:
    with telemetry.span("work"):
        structlog.get_logger().exception("a thing failed", method="Buy", secret="hush-field")
raise RuntimeError("the end")
"""


class Inbox:
    """The reports that came in."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.raw = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = zlib.decompress(body, zlib.MAX_WBITS | 16)
        self.raw += body.decode()
        lines = body.splitlines()
        self.reports += [
            json.loads(item) for head, item in zip(lines[1::2], lines[2::2], strict=False) if b"event" in head
        ]
        return web.json_response({})


@pytest.fixture
async def inbox() -> AsyncIterator[tuple[Inbox, str]]:
    made = Inbox()
    app = web.Application()
    app.router.add_post("/api/7/envelope/", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield made, f"http://public@127.0.0.1:{runner.addresses[0][1]}/7"
    await runner.cleanup()


async def test_what_is_logged_with_a_traceback_is_reported_without_secrets(
    inbox: tuple[Inbox, str], tmp_path: Path
) -> None:
    received, dsn = inbox
    async with program(tmp_path, CRASHES, SENTRY_DSN=dsn) as started:
        await started.until("crashed")
        code, _ = await started.ended()

    assert code == 1
    first, last = received.reports
    assert (first["server_name"], first["environment"]) == ("shop", "development")
    assert first["exception"]["values"][0]["value"] == "hello ***, Bearer ***"
    assert first["extra"]["event"] == "a thing failed"
    assert first["tags"]["method"] == "Buy"
    assert (
        first["tags"]["trace_id"]
        == next(line for line in started.lines if line["event"] == "a thing failed")["trace_id"]
    )
    assert last["exception"]["values"][-1]["value"] == "the end"
    assert not any(secret in received.raw for secret in ("hush", "ada@"))
    assert not any("hush" in json.dumps(line) for line in started.lines)


async def test_a_dsn_that_is_none_ends_the_process_with_its_name(tmp_path: Path) -> None:
    async with program(tmp_path, "pass", SENTRY_DSN="nonsense") as started:
        code, errors = await asyncio.wait_for(started.ended(), 60)

    assert code == 2
    assert errors.startswith("SENTRY_DSN: ")
