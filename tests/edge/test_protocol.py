"""Requests as no client library would send them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog

Answer = tuple[int, dict[str, Any]]
Send = Callable[[bytes], Awaitable[Answer]]


@pytest.fixture
def send(edge_url: str) -> Send:
    """Send bytes over a connection of their own and read the problem that comes back."""

    async def send_bytes(request: bytes) -> Answer:
        url = urlsplit(edge_url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(request)
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            document = json.loads(await reader.readexactly(length))
        writer.close()
        assert b"application/problem+json" in head
        return int(head.split(b" ")[1]), document

    return send_bytes


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /api/plans?q=" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
        (b"GET /api/plans HTTP/1.1\r\nX: " + b"s" * 100_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /api/plans HTTP/1.1\r\n" + b"X: s\r\n" * 1000 + b"\r\n", 431, "headers_too_large"),
        (b"HELLO\r\n\r\n", 400, "malformed_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "malformed_request"),
        (b"GET /api/plans HTTP/1.1\r\n\r\n", 400, "malformed_request"),
        (b"GET /api/pl\xffns HTTP/1.1\r\nHost: x\r\n\r\n", 400, "malformed_request"),
        (b"GET /api/plans HTTP/1.1\r\nHost: x\r\nSecret\x00: s\r\n\r\n", 400, "malformed_request"),
        (b"POST /api/auth/signup HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n{}", 400, "malformed_request"),
    ],
)
async def test_what_is_no_http_is_refused_as_a_problem_and_quoted_nowhere(
    send: Send, request_: bytes, status: int, code: str
) -> None:
    with structlog.testing.capture_logs() as logged:
        answered, document = await send(request_)

    assert (answered, document["code"]) == (status, code)
    assert "b'" not in document["detail"]
    assert [line["event"] for line in logged] == ["not http"]
    assert "exc_info" not in logged[0]


@pytest.mark.parametrize("header", [b"Authorization: Bearer \xff\xfe", b"Cookie: session=\xff\xfe"])
async def test_a_credential_that_is_no_text_is_refused(send: Send, header: bytes) -> None:
    status, document = await send(b"GET /api/auth/me HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")

    assert (status, document["code"]) == (401, "token_invalid")


async def test_an_overlong_cookie_does_not_keep_anybody_from_signing_in(send: Send) -> None:
    cookie = b"Cookie: session=" + b"x" * 7000
    body = b'{"email": "nobody@example.com", "password": "a long walk home"}'
    head = b"POST /api/auth/signin HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)

    status, document = await send(head + cookie + b"\r\n\r\n" + body)

    assert (status, document["code"]) == (401, "credentials_invalid")


async def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent(send: Send) -> None:
    status, document = await send(b"POST /api/auth/signup HTTP/1.1\r\nHost: x\r\nContent-Length: 20971520\r\n\r\n")

    assert (status, document["code"]) == (413, "body_too_large")


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on(edge_url: str) -> None:
    url = urlsplit(edge_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(b"POST /api/auth/signup HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    async with asyncio.timeout(10):
        go_on = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"{}")
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert go_on.startswith(b"HTTP/1.1 100 ")
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", [b"/", b"/health", b"/docs"])
async def test_a_page_says_which_methods_it_serves(send: Send, path: bytes) -> None:
    status, document = await send(b"PUT " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")

    assert (status, document["code"]) == (405, "method_not_allowed")
    assert document["detail"] == "This path serves GET, HEAD, OPTIONS."
