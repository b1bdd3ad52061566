"""Requests as no client library would send them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import structlog

from tests.edge.conftest import Start
from tests.waiting import PATIENCE

Answer = tuple[int, dict[str, Any]]
Send = Callable[[bytes], Awaitable[Answer]]


@pytest.fixture
def send(edge_url: str) -> Send:
    """Send bytes over a connection of their own and read the problem that comes back."""

    async def send_bytes(request: bytes) -> Answer:
        url = urlsplit(edge_url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(request)
        async with asyncio.timeout(PATIENCE):
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


GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/auth/signup HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", id="two lengths"),
        pytest.param(POST + b"Content-Length: 2, 2\r\n\r\n{}", id="a list of lengths"),
        pytest.param(POST + b"Content-Length: +2\r\n\r\n{}", id="a signed length"),
        pytest.param(POST + b"Content-Length: 2\r\n" + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", id="length, then chunks"),
        pytest.param(POST + CHUNKED + b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n", id="chunks, then length"),
        pytest.param(POST + CHUNKED * 2 + b"\r\n2\r\n{}\r\n0\r\n\r\n", id="chunks twice"),
        pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="an unknown coding"),
        pytest.param(POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", id="chunks not last"),
        pytest.param(POST + CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n", id="a size that is no number"),
        pytest.param(POST + b"A: b\r\n Content-Length: 2\r\n\r\n{}", id="a folded header"),
        pytest.param(GET.replace(b"\r\n", b"\n") + b"\n", id="lines without CR"),
        pytest.param(GET + b"A: b\nC: d\r\n\r\n", id="a header without CR"),
        pytest.param(GET + b"A: b\rC: d\r\n\r\n", id="a CR by itself"),
        pytest.param(GET + b"Host: y\r\n\r\n", id="two hosts"),
        pytest.param(GET.replace(b"Host:", b"Host :") + b"\r\n", id="a space before the colon"),
    ],
)
async def test_what_another_server_could_read_otherwise_is_refused(send: Send, request_: bytes) -> None:
    status, document = await send(request_)

    assert (status, document["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("make", "most", "code"),
    [
        (lambda size: b"GET /" + b"x" * (size - 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n", 8192, "uri_too_long"),
        (lambda size: GET + b"A: " + b"x" * size + b"\r\n\r\n", 16384, "headers_too_large"),
        (lambda count: GET + b"A: x\r\n" * (count - 1) + b"\r\n", 128, "headers_too_large"),
    ],
)
async def test_the_limits_are_what_they_are_said_to_be(
    edge_url: str, send: Send, make: Callable[[int], bytes], most: int, code: str
) -> None:
    url = urlsplit(edge_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(make(most))
    async with asyncio.timeout(PATIENCE):
        line = await reader.readline()
    writer.close()
    _, document = await send(make(most + 1))

    assert line.split()[1] in (b"200", b"404")
    assert document["code"] == code


async def test_a_body_may_have_just_as_many_bytes_as_is_said(start_edge: Start) -> None:
    async with start_edge(max_body_bytes=1024) as url, aiohttp.ClientSession(url) as http:

        async def posted(data: bytes, *, chunked: bool) -> int:
            body = iter_bytes(data) if chunked else data
            async with http.post("/api/auth/signup", data=body) as response:
                return response.status

        answers = [
            await posted(b"{}".ljust(size), chunked=chunked) for size in (1024, 1025) for chunked in (False, True)
        ]

    assert answers == [503, 503, 413, 413]


async def iter_bytes(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_requests_that_are_sent_at_once_are_answered_in_order(edge_url: str) -> None:
    url = urlsplit(edge_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(GET + b"\r\n" + GET.replace(b"livez", b"nowhere") + b"Connection: close\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        answers = await reader.read()
    writer.close()

    assert [line.split()[1] for line in answers.splitlines() if line.startswith(b"HTTP/1.1")] == [b"200", b"404"]


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
    async with asyncio.timeout(PATIENCE):
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
