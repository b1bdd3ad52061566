"""The load: clients that keep a fixed number of requests under way, over HTTP/1.1 or over gRPC."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol, cast

import grpc

from bench.rows import Row

_OK = b"HTTP/1.1 200 "
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Client(Protocol):
    """Sends one row's request again and again."""

    async def send(self, count: int, *, at_once: int) -> Sequence[float]:
        """Send `count` requests, `at_once` at any time; answer how many seconds each took."""


class _Burst:
    """Requests that are still to be sent, by all connections together."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.seconds: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count = count

    def answered(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == self._count and not self.done.done():
            self.done.set_result(None)

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(reason))


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way; it looks at no more of an answer than where it ends."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = b""
        self._sent = 0.0
        self._burst: _Burst | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by inheritance

    def start(self, burst: _Burst) -> None:
        self._burst = burst
        self._next()

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data if self._received else data
        if self._burst and _is_whole(received):
            if not received.startswith(_OK):
                self._burst.fail(received.decode(errors="replace"))
                return
            self._received = b""
            self._burst.answered(time.perf_counter() - self._sent)
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._burst:
            self._burst.fail(f"the connection was closed: {exc}")

    def _next(self) -> None:
        assert self._burst
        assert self._transport
        if self._burst.left:
            self._burst.left -= 1
            self._sent = time.perf_counter()
            self._transport.write(self._request)


def _is_whole(received: bytes) -> bool:
    """Whether a response has arrived. JSON escapes line breaks, so that no chunk's data looks like the last chunk."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = received[:end].lower()
    _, found, length = head.partition(b"\r\ncontent-length:")
    if found:
        return len(received) - end - 4 >= int(length.partition(b"\r\n")[0])
    return received.endswith(_LAST_CHUNK)


class HttpClient:
    """HTTP/1.1 over raw protocols: cheap, so that the load leaves the machine to what is measured."""

    def __init__(self, row: Row, *, port: int, token: str) -> None:
        fields = {"Host": f"127.0.0.1:{port}", **row.headers(token)}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._request = f"{row.verb} {row.path} HTTP/1.1\r\n{head}\r\n".encode() + row.body
        self._port = port

    async def send(self, count: int, *, at_once: int) -> Sequence[float]:
        loop = asyncio.get_running_loop()
        connections: list[_Connection] = []
        try:
            for _ in range(at_once):
                made = await loop.create_connection(lambda: _Connection(self._request), "127.0.0.1", self._port)
                connections.append(made[1])
            burst = _Burst(count)
            for connection in connections:
                connection.start(burst)
            await burst.done
            return burst.seconds
        finally:
            for connection in connections:
                connection.close()


class GrpcClient:
    """grpc.aio, over one connection."""

    def __init__(self, row: Row, channel: grpc.aio.Channel) -> None:
        self._request = row.request
        serialize, parse = type(row.request).SerializeToString, type(row.replies[0]).FromString
        self._unary = channel.unary_unary(row.method, request_serializer=serialize, response_deserializer=parse)
        self._stream = channel.unary_stream(row.method, request_serializer=serialize, response_deserializer=parse)
        self._call = self._read if row.streams else self._ask

    async def send(self, count: int, *, at_once: int) -> Sequence[float]:
        seconds: list[float] = []
        turns = iter(range(count))

        async def caller() -> None:
            for _ in turns:
                began = time.perf_counter()
                await self._call()
                seconds.append(time.perf_counter() - began)

        await asyncio.gather(*(caller() for _ in range(at_once)))
        return seconds

    async def _ask(self) -> None:
        await self._unary(self._request)

    async def _read(self) -> None:
        async for _ in self._stream(self._request):
            pass
