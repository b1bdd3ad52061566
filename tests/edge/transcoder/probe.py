"""A small third-party service to transcode: its descriptors, its server, and the transcoder in front of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import google
import grpc
import grpc.aio
import grpc_tools
from aiohttp import ClientSession, FormData, web
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc import status_pb2
from grpc_tools import protoc
from yarl import URL

from edge.transcoder import Call, GrpcUpstream, Options, Refused, Transcoder, problem_response

PROTOS = Path(__file__).parent / "protos"
PROBE = "probe.v1.ProbeService"
STREAM = "probe.v1.StreamService"
TERMS = "probe.v1.TermService"
FILES = "probe.v1.FileService"


def compiled(root: Path, file: str, scratch: Path) -> bytes:
    """The descriptor set of a .proto file, with its imports."""
    target = scratch / "set.binpb"
    packages = Path(grpc_tools.__file__).parent.parent
    includes = [root, packages / "grpc_tools" / "_proto", Path(google.__path__[0]).parent]
    arguments = [*(f"-I{path}" for path in includes), "--include_imports", f"--descriptor_set_out={target}", file]
    assert protoc.main(["protoc", *arguments]) == 0
    return target.read_bytes()


class Messages:
    """The message classes of a descriptor set, by full name, made by google's runtime."""

    def __init__(self, descriptors: bytes) -> None:
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
            pool.Add(file)
        self.pool = pool

    def __getitem__(self, name: str) -> Any:
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))


@dataclass
class Seen:
    """What the server saw, for a test to look at.

    `sent` counts the messages of streams that were taken from it, `hanging` the RPCs that hang.
    """

    requests: list[bytes] = field(default_factory=list)
    sent: int = 0
    hanging: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def sent_when_still(self) -> int:
        """Wait until messages have been taken from it, and no more are."""
        before = 0
        while self.sent != before or not before:
            before = self.sent
            await asyncio.sleep(0.2)
        return before


class ProbeServicer:
    """Answers as the RPCs' comments say; what has none echoes its request."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self.seen = Seen()

    async def echo(self, request: bytes, context: Any) -> bytes:
        self.seen.requests.append(request)
        return request

    async def upload(self, request: bytes, context: Any) -> bytes:
        parcel = self._messages["probe.v1.Parcel"].FromString(request)
        result: bytes = parcel.content.SerializeToString()
        return result

    async def fail(self, request: bytes, context: Any) -> bytes:
        await self._fail(self._messages["probe.v1.Failure"].FromString(request), context)
        return b""

    async def decorate(self, request: bytes, context: Any) -> bytes:
        decoration = self._messages["probe.v1.Decoration"].FromString(request)
        await context.send_initial_metadata((*sorted(decoration.initial.items()), *_pairs(decoration.headers)))
        context.set_trailing_metadata(tuple(sorted(decoration.trailing.items())))
        if decoration.HasField("failure"):
            await self._fail(decoration.failure, context)
        result: bytes = self._messages["probe.v1.Probe"](string_value=decoration.text).SerializeToString()
        return result

    async def inspect(self, request: bytes, context: Any) -> bytes:
        inspection = self._messages["probe.v1.Inspection"]()
        for key, value in context.invocation_metadata():
            inspection.metadata[key] = value.hex() if isinstance(value, bytes) else value
        remaining = context.time_remaining()
        if remaining is not None and remaining < 1e6:
            inspection.time_remaining = remaining
        result: bytes = inspection.SerializeToString()
        return result

    async def hang(self, request: bytes, context: Any) -> bytes:
        await self._hang()
        return b""

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        wanted = self._messages["probe.v1.CountRequest"].FromString(request)
        await context.send_initial_metadata((("etag", '"numbers"'), *_pairs(wanted.headers)))
        for value in range(1, wanted.count + 1):
            yield self._messages["probe.v1.Number"](value=value, padding="x" * wanted.padding).SerializeToString()
            self.seen.sent += 1
        if wanted.HasField("failure"):
            await self._fail(wanted.failure, context)
        if wanted.hang:
            await self._hang()

    async def total(self, request: bytes, context: Any) -> bytes:
        wanted = self._messages["probe.v1.CountRequest"].FromString(request)
        result: bytes = self._messages["probe.v1.Number"](value=wanted.count).SerializeToString()
        return result

    async def receive(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        receipt = self._messages["probe.v1.Receipt"]()
        async for request in requests:
            parcel = self._messages["probe.v1.Parcel"].FromString(request)
            receipt.name += parcel.name
            receipt.content_type += parcel.content.content_type
            receipt.parts += 1
            receipt.size += len(parcel.content.data)
        result: bytes = receipt.SerializeToString()
        return result

    async def send(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        wanted = self._messages["probe.v1.CountRequest"].FromString(request)
        for value in range(wanted.count):
            kind = wanted.content_type if value == 0 else ""
            data = b"%d" % value * wanted.padding
            yield self._messages["google.api.HttpBody"](content_type=kind, data=data).SerializeToString()
        if wanted.HasField("failure"):
            await self._fail(wanted.failure, context)
        if wanted.hang:
            await self._hang()

    async def sum(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        subtotals = [b"", *[subtotal async for subtotal in self.converse(requests, context)]]
        return subtotals[-1]

    async def converse(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        result = self._messages["probe.v1.Subtotal"]()
        async for request in requests:
            self.seen.requests.append(request)
            term = self._messages["probe.v1.Term"].FromString(request)
            if term.HasField("failure"):
                await self._fail(term.failure, context)
            if term.stop:
                return
            if term.hang:
                await self._hang()
            result.accounts.append(term.account)
            result.total += term.value
            yield result.SerializeToString()

    async def _hang(self) -> None:
        self.seen.started.set()
        self.seen.hanging += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.seen.hanging -= 1
            self.seen.ended.set()

    async def _fail(self, failure: Any, context: Any) -> None:
        if failure.details:
            rich = status_pb2.Status(code=failure.code, message=failure.message)
            for detail in failure.details:
                rich.details.add(type_url=detail.type_url, value=detail.value)
            context.set_trailing_metadata((("grpc-status-details-bin", rich.SerializeToString()),))
        code = next(code for code in grpc.StatusCode if code.value[0] == failure.code)
        await context.abort(code, failure.message)


def _pairs(headers: Iterable[str]) -> list[tuple[str, str | bytes]]:
    """Metadata from texts `key=value`."""
    split = [header.partition("=") for header in headers]
    return [(key, value.encode() if key.endswith("-bin") else value) for key, _, value in split]


Handlers = dict[str, Any]


def _handlers(servicer: ProbeServicer) -> tuple[grpc.GenericRpcHandler, ...]:
    special: Handlers = {
        name: grpc.unary_unary_rpc_method_handler(getattr(servicer, name.lower()))
        for name in ("Upload", "Fail", "Decorate", "Inspect", "Hang")
    }
    echoes = [
        *("GetMessage", "Query", "Star", "NoBody", "TextBody", "ListBody", "MapBody", "TimestampBody", "ChildBody"),
        *("ValueBody", "BytesBody", "EchoText", "EchoInt64", "EchoList", "EchoTimestamp", "EchoColor", "EchoChild"),
        *("EchoMap", "Nothing", "Mirror", "UpdateShelf", "Pack"),
    ]
    unary: Handlers = {name: grpc.unary_unary_rpc_method_handler(servicer.echo) for name in echoes}
    streams: Handlers = {
        "Count": grpc.unary_stream_rpc_method_handler(servicer.count),
        "StreamTotal": grpc.unary_stream_rpc_method_handler(servicer.count),
        "Total": grpc.unary_unary_rpc_method_handler(servicer.total),
    }
    terms: Handlers = {
        "Sum": grpc.stream_unary_rpc_method_handler(servicer.sum),
        "Converse": grpc.stream_stream_rpc_method_handler(servicer.converse),
    }
    files: Handlers = {
        "Receive": grpc.stream_unary_rpc_method_handler(servicer.receive),
        "Send": grpc.unary_stream_rpc_method_handler(servicer.send),
    }
    return (
        grpc.method_handlers_generic_handler(PROBE, {**unary, **special}),
        grpc.method_handlers_generic_handler(STREAM, streams),
        grpc.method_handlers_generic_handler(TERMS, terms),
        grpc.method_handlers_generic_handler(FILES, files),
    )


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


Sendable = AsyncIterator[bytes] | IO[bytes] | FormData | bytes | str


class Edge:
    """A client of the transcoder under test, which sends URLs byte for byte."""

    def __init__(
        self, session: ClientSession, url: str, *, seen: Seen, server: grpc.aio.Server, transcoder: Transcoder
    ) -> None:
        self._session = session
        self._url = url
        self._server = server
        self.seen = seen
        self.transcoder = transcoder

    async def stop_service(self) -> None:
        """End the service behind, and every call that it works on."""
        await self._server.stop(None)

    def open(self, method: str, path: str, body: Sendable | None = None, **headers: str) -> Any:
        data = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._session.request(method, URL(self._url + path, encoded=True), data=data, headers=named)

    def socket(self, path: str, **options: Any) -> Any:
        """Open a WebSocket; what it takes besides are aiohttp's own options."""
        return self._session.ws_connect(URL(self._url + path, encoded=True), **options)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection for bytes as they are."""
        url = URL(self._url)
        return await asyncio.open_connection(url.host, url.port)

    async def raw(self, data: bytes, *, until: bytes = b"") -> bytes:
        """Send bytes as they are; the answer until those bytes, or until the connection ends."""
        reader, writer = await self.connect()
        writer.write(data)
        answer = await (reader.readuntil(until) if until else reader.read())
        writer.close()
        await writer.wait_closed()
        return answer

    async def __call__(self, method: str, path: str, body: Sendable | None = None, **headers: str) -> Answer:
        async with self.open(method, path, body, **headers) as response:
            return Answer(response.status, response.headers.copy(), await response.read())


def binding_status(transcoder: Transcoder, method: str, target: str, body: bytes = b"") -> int:
    """The status of a request as far as it is bound: 200 if the service would be called."""
    try:
        match = transcoder.match(method, target)
        match.route.bind(match.segments, match.query, body, "")
    except Refused as refused:
        return refused.problem.status
    return 200


@asynccontextmanager
async def service(descriptors: bytes) -> AsyncIterator[tuple[ProbeServicer, grpc.aio.Server, GrpcUpstream]]:
    """The probe service on a port of the kernel's choice, and the upstream that calls it."""
    servicer = ProbeServicer(Messages(descriptors))
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(_handlers(servicer))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield servicer, server, GrpcUpstream(dict.fromkeys((PROBE, STREAM, TERMS, FILES), channel))
    finally:
        await server.stop(None)


MakeCall = Callable[[web.BaseRequest], Call]


@asynccontextmanager
async def serving(
    descriptors: bytes, options: Options | None = None, call: Call | None = None, make_call: MakeCall | None = None
) -> AsyncIterator[Edge]:
    """The probe service behind a transcoder, on two ports of the kernel's choice.

    Every request is the same call, unless `make_call` makes each its own.
    """
    same = call or Call(request_id="r-1")
    async with service(descriptors) as (servicer, server, upstream):
        transcoder = Transcoder(descriptors, upstream, options)
        async with _http(transcoder, make_call or (lambda _: same)) as url, ClientSession() as session:
            yield Edge(session, url, seen=servicer.seen, server=server, transcoder=transcoder)


@asynccontextmanager
async def _http(transcoder: Transcoder, make_call: MakeCall) -> AsyncIterator[str]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            call = make_call(request)
        except Refused as refused:
            return problem_response(refused.problem)
        return await transcoder.handle(request, call)

    runner = web.ServerRunner(web.Server(handle, handler_cancellation=True))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
