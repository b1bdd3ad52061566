"""What every answer tells a browser not to do."""

import asyncio
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.edge.conftest import Start
from tests.waiting import PATIENCE

ON_EVERYTHING = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Origin-Agent-Cluster": "?1",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
    "X-Download-Options": "noopen",
    "X-Frame-Options": "DENY",
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-XSS-Protection": "0",
    "Server": "chatmesh",
}
STRICT = "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/livez"),
        ("GET", "/.well-known/jwks.json"),
        ("OPTIONS", "/api/auth/me"),
        ("GET", "/api/auth/me"),
        ("GET", "/api/nowhere"),
        ("POST", "/api/auth/signup"),
        ("POST", "/api/webhooks/stripe"),
    ],
)
async def test_every_answer_carries_them(http: aiohttp.ClientSession, method: str, path: str) -> None:
    async with http.request(method, path) as response:
        await response.read()

    assert ON_EVERYTHING.items() <= response.headers.items()
    assert response.headers["Content-Security-Policy"] == STRICT


async def test_what_is_no_http_gets_them_too(edge_url: str) -> None:
    url = urlsplit(edge_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(b"HELLO\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()

    assert {f"{name}: {value}" for name, value in ON_EVERYTHING.items()} <= set(head.splitlines())


async def test_a_page_may_say_for_itself_what_it_loads(http: aiohttp.ClientSession) -> None:
    async with http.get("/docs") as response:
        await response.read()

    policies = response.headers.getall("Content-Security-Policy")
    assert len(policies) == 1
    assert policies[0] != STRICT
    assert ON_EVERYTHING.items() <= response.headers.items()


@pytest.mark.parametrize(
    ("public_url", "hsts"),
    [("https://chat.example.com", "max-age=31536000; includeSubDomains"), ("http://127.0.0.1:4000", None)],
)
async def test_browsers_are_held_to_https_where_people_use_it(
    start_edge: Start, public_url: str, hsts: str | None
) -> None:
    async with start_edge(public_url=public_url) as url, aiohttp.ClientSession(url) as http, http.get("/") as response:
        assert response.headers.get("Strict-Transport-Security") == hsts


async def test_errors_are_never_kept_and_answers_never_shared(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/auth/me") as refused:
        await refused.read()
    async with http.get("/.well-known/jwks.json") as answered:
        await answered.read()

    assert refused.headers["Cache-Control"] == "no-store"
    assert answered.headers["Cache-Control"] == "private, no-cache"
