"""Clients that are slow, or too many: what they may cost the edge is bounded."""

import asyncio
import json
import os
import re
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import grpc
import pytest
from chatmesh.chat.v1 import chat_pb2
from pydantic import ValidationError

from edge.settings import EdgeSettings
from svckit.ids import new_id
from svckit.local import Engines
from tests import callers
from tests.edge.conftest import Start
from tests.waiting import PATIENCE


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    split = urlsplit(url)
    return await asyncio.open_connection(split.hostname, split.port)


async def last_words(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Status and code of the problem that a connection ends with."""
    async with asyncio.timeout(PATIENCE):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    assert b"\r\nX-Content-Type-Options: nosniff" in head
    return int(head.split(b" ")[1]), json.loads(body)["code"]


async def metric(url: str, name: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        found = re.search(rf"^{re.escape(name)} (\S+)$", await response.text(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def ended(reason: str) -> str:
    return f'edge_connections_ended_total{{reason="{reason}"}}'


async def test_a_head_that_does_not_come_to_its_end_is_given_up(start_edge: Start) -> None:
    async with start_edge(head_timeout=0.3) as url:
        reader, writer = await connected(url)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        answer = await last_words(reader)
        writer.close()

        assert answer == (408, "head_too_slow")
        assert await metric(url, ended("slow_head")) > 0


async def test_a_head_that_begins_together_with_its_connection_is_given_up_too(engines: Engines) -> None:
    # uvloop, which production runs on, may read before aiohttp waits for a request.
    settings = {"EDGE_PORT": "0", "HEAD_TIMEOUT": "0.3", "REDIS_URL": engines.redis_url, "LOG_FORMAT": "json"}
    edge = await asyncio.create_subprocess_exec(sys.executable, "-m", "edge", env=os.environ | settings, stdout=PIPE)
    assert edge.stdout is not None
    async with asyncio.timeout(PATIENCE):
        address = json.loads(await edge.stdout.readline())["address"]
    with socket.create_connection(address.split(":")) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        reader, writer = await asyncio.open_connection(sock=client)
        answer = await last_words(reader)
        writer.close()
    edge.terminate()
    await edge.communicate()

    assert answer == (408, "head_too_slow")


async def test_a_head_that_is_too_large_is_given_up_before_it_is_whole(edge_url: str) -> None:
    reader, writer = await connected(edge_url)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"x" * 8000 + b"\r\n") * 9)
    answer = await last_words(reader)
    writer.close()

    assert answer == (431, "headers_too_large")


async def test_a_second_head_may_not_be_slower_than_the_first(start_edge: Start) -> None:
    async with start_edge(head_timeout=0.3) as url:
        reader, writer = await connected(url)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b"ok\n")
        writer.write(b"GET")
        answer = await last_words(reader)
        writer.close()

    assert answer == (408, "head_too_slow")


async def test_an_empty_line_after_a_request_is_no_head(start_edge: Start) -> None:
    async with start_edge(head_timeout=0.3, idle_timeout=1.5) as url:
        reader, writer = await connected(url)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b"ok\n")
            writer.write(b"\r\n")
            said = await reader.read()
        writer.close()

    assert said == b""


async def test_a_connection_that_says_nothing_is_closed_without_a_word(start_edge: Start) -> None:
    async with start_edge(idle_timeout=0.3) as url:
        reader, writer = await connected(url)
        async with asyncio.timeout(PATIENCE):
            said = await reader.read()
        writer.close()

    assert said == b""


@pytest.mark.parametrize("path", [b"/api/auth/signup", b"/api/webhooks/stripe"])
async def test_a_body_that_does_not_come_is_given_up(start_edge: Start, path: bytes) -> None:
    async with start_edge(body_timeout=0.3, head_timeout=0.1) as url:
        reader, writer = await connected(url)
        writer.write(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nStripe-Signature: x\r\nContent-Length: 10\r\n\r\n{")
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert head.startswith(b"HTTP/1.1 408 ")


class Talker(grpc.GenericRpcHandler):
    """A chat service that talks without an end, to whoever asks; `cut_off` is set when it was made to stop."""

    def __init__(self) -> None:
        self.cut_off = asyncio.Event()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if not handler_call_details.method.endswith("/StreamMessage"):
            return None
        return grpc.unary_stream_rpc_method_handler(self._talk)

    async def _talk(self, _request: bytes, _context: object) -> AsyncIterator[bytes]:
        delta = chat_pb2.Delta(text="word " * 10_000)
        event = chat_pb2.StreamMessageResponse(event=chat_pb2.GenerationEvent(delta=delta)).SerializeToString()
        try:
            while True:
                yield event
        finally:
            self.cut_off.set()


async def test_a_stream_whose_client_takes_nothing_is_ended_at_the_service_too(
    start_edge: Start, auth_address: str
) -> None:
    talker, server = Talker(), grpc.aio.server()
    server.add_generic_rpc_handlers((talker,))
    chat = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    token = dict(callers.signed_in(new_id()))["authorization"].encode()
    head = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: " + token
    async with start_edge(chat_service_url=chat, auth_service_url=auth_address, stall_timeout=0.3) as url:
        reader, writer = await connected(url)
        writer.write(head + b"\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        async with asyncio.timeout(PATIENCE):
            begun = await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            await talker.cut_off.wait()
        writer.close()
    await server.stop(None)

    assert begun.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_takes_nothing_is_cut_off(start_edge: Start) -> None:
    async with start_edge(stall_timeout=0.3) as url:
        split = urlsplit(url)
        before = await metric(url, ended("slow_reader"))
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, (split.hostname, split.port))
            asking = asyncio.create_task(ask_for_ever(client))
            async with asyncio.timeout(PATIENCE):
                while await metric(url, ended("slow_reader")) == before:
                    await asyncio.sleep(0.1)
            asking.cancel()
            await asyncio.wait([asking])


async def ask_for_ever(client: socket.socket) -> None:
    """Send requests and read no answer."""
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 30
    while True:
        await asyncio.get_running_loop().sock_sendall(client, request)


async def test_connections_over_the_limit_of_an_address_are_refused_until_others_are_closed(
    start_edge: Start,
) -> None:
    async with start_edge(max_connections_per_address=2) as url:
        one, other = await connected(url), await connected(url)
        reader, writer = await connected(url)
        refused = await last_words(reader)
        for _, open_ in (one, other):
            open_.close()
            await open_.wait_closed()
        writer.close()

        # Until it hears of those that were closed, there is no room for the question either.
        async with asyncio.timeout(PATIENCE):
            while not await metric(url, ended("too_many_from_address")):
                await asyncio.sleep(0.05)

    assert refused == (503, "too_many_connections")


async def test_a_trusted_proxy_may_bring_as_many_as_there_may_be_at_all(start_edge: Start) -> None:
    limits = {"max_connections_per_address": 1, "max_connections": 3, "trusted_proxies": "127.0.0.1"}
    async with start_edge(**limits) as url:
        opened = [await connected(url) for _ in range(3)]
        reader, writer = await connected(url)
        refused = await last_words(reader)
        for _, open_ in opened:
            open_.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            served = [await answer.read() for answer, _ in opened]
        for _, open_ in (*opened, (reader, writer)):
            open_.close()

    assert refused == (503, "too_many_connections")
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in served)


@pytest.mark.parametrize("name", ["head_timeout", "body_timeout", "idle_timeout", "stall_timeout", "max_connections"])
def test_a_limit_that_nobody_could_keep_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(ValidationError, match="greater than"):
        EdgeSettings.model_validate({name: 0})
