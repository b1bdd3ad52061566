"""Four services as they are in the wild, each on a gRPC server of its own with reflection."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.reflection import SERVICE_NAME
from grpc_reflection.v1alpha.reflection import aio as reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from tests.edge.transcoder.probe import Messages

LIBRARY = "google.example.library.v1.LibraryService"
BOOKSTORE = "endpoints.examples.bookstore.Bookstore"
STORAGE = "storage.v1.Storage"
MESSAGING = "messaging.v1.Messaging"


class Servicer(Protocol):
    """Has one method for each RPC of the service, by the RPC's name."""

    service: str

    def __init__(self, messages: Messages) -> None: ...


class Bookstore:
    service = BOOKSTORE

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._shelves: dict[int, Any] = {}
        self._books: dict[int, list[Any]] = {}
        self._empty = messages["google.protobuf.Empty"]

    async def ListShelves(self, request: Any, context: Any) -> Any:
        return self._messages["endpoints.examples.bookstore.ListShelvesResponse"](shelves=self._shelves.values())

    async def CreateShelf(self, request: Any, context: Any) -> Any:
        shelf = request.shelf
        shelf.id = shelf.id or len(self._shelves) + 1
        self._shelves[shelf.id], self._books[shelf.id] = shelf, []
        return shelf

    async def GetShelf(self, request: Any, context: Any) -> Any:
        return await _found(self._shelves, request.shelf, context)

    async def DeleteShelf(self, request: Any, context: Any) -> Any:
        await _found(self._shelves, request.shelf, context)
        del self._shelves[request.shelf]
        return self._empty()

    async def ListBooks(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for book in await _found(self._books, request.shelf, context):
            yield book

    async def CreateBook(self, request: Any, context: Any) -> Any:
        books = await _found(self._books, request.shelf, context)
        books.append(request.book)
        request.book.id = len(books)
        return request.book


class Library:
    service = LIBRARY

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._shelves: dict[str, Any] = {}
        self._books: dict[str, Any] = {}
        self._empty = messages["google.protobuf.Empty"]

    async def CreateShelf(self, request: Any, context: Any) -> Any:
        shelf = request.shelf
        shelf.name = shelf.name or f"shelves/{len(self._shelves) + 1}"
        self._shelves[shelf.name] = shelf
        return shelf

    async def MergeShelves(self, request: Any, context: Any) -> Any:
        for name in [name for name in self._books if name.startswith(request.other_shelf + "/")]:
            self._rename(name, name.replace(request.other_shelf, request.name, 1))
        self._shelves.pop(request.other_shelf, None)
        return await _found(self._shelves, request.name, context)

    async def CreateBook(self, request: Any, context: Any) -> Any:
        await _found(self._shelves, request.parent, context)
        book = request.book
        book.name = book.name or f"{request.parent}/books/{len(self._books) + 1}"
        self._books[book.name] = book
        return book

    async def GetBook(self, request: Any, context: Any) -> Any:
        return await _found(self._books, request.name, context)

    async def ListBooks(self, request: Any, context: Any) -> Any:
        start = int(request.page_token or 0)
        end = start + (request.page_size or 50)
        books = [b for name, b in self._books.items() if name.startswith(request.parent) and request.filter in b.title]
        following = str(end) if end < len(books) else ""
        return self._messages["google.example.library.v1.ListBooksResponse"](
            books=books[start:end], next_page_token=following
        )

    async def DeleteBook(self, request: Any, context: Any) -> Any:
        await _found(self._books, request.name, context)
        del self._books[request.name]
        return self._empty()

    async def UpdateBook(self, request: Any, context: Any) -> Any:
        book = await _found(self._books, request.book.name, context)
        request.update_mask.MergeMessage(request.book, book)
        return book

    async def MoveBook(self, request: Any, context: Any) -> Any:
        await _found(self._books, request.name, context)
        return self._rename(request.name, f"{request.other_shelf_name}/books/{request.name.rpartition('/')[2]}")

    def _rename(self, name: str, other: str) -> Any:
        book = self._books[other] = self._books.pop(name)
        book.name = other
        return book


class Storage:
    service = STORAGE

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._contents: dict[str, Any] = {}
        self._empty = messages["google.protobuf.Empty"]

    async def GetObject(self, request: Any, context: Any) -> Any:
        return await _found(self._contents, request.name, context)

    async def PutObject(self, request: Any, context: Any) -> Any:
        self._contents[request.name] = request.content
        return self._object(request.name)

    async def DeleteObject(self, request: Any, context: Any) -> Any:
        await _found(self._contents, request.name, context)
        del self._contents[request.name]
        return self._empty()

    async def ListObjects(self, request: Any, context: Any) -> Any:
        start = f"{request.parent}/objects/{request.prefix}"
        return self._messages["storage.v1.ListObjectsResponse"](
            objects=[self._object(name) for name in sorted(self._contents) if name.startswith(start)]
        )

    async def ComposeObject(self, request: Any, context: Any) -> Any:
        parts = [await _found(self._contents, name, context) for name in request.sources]
        whole = self._contents[request.destination] = type(parts[0])(content_type=parts[0].content_type)
        whole.data = b"".join(part.data for part in parts)
        return self._object(request.destination)

    def _object(self, name: str) -> Any:
        return self._messages["storage.v1.Object"](name=name, size=len(self._contents[name].data))


class Messaging:
    service = MESSAGING

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._sounds: dict[str, list[Any]] = {}

    async def Talk(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for message in requests:
            yield message

    async def Listen(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield self._messages["messaging.v1.Message"](room=request.room, text="welcome")
        await asyncio.Event().wait()

    async def Download(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for chunk in await _found(self._sounds, request.room, context):
            yield chunk

    async def Record(self, requests: AsyncIterator[Any], context: Any) -> Any:
        room, chunks = "", []
        async for recording in requests:
            room = room or recording.room
            chunks.append(recording.sound)
        self._sounds[room] = chunks
        return self._messages["messaging.v1.Recorded"](room=room, size=sum(len(chunk.data) for chunk in chunks))


async def _found(things: dict[Any, Any], key: Any, context: Any) -> Any:
    if key not in things:
        await context.abort(grpc.StatusCode.NOT_FOUND, f"There is no {key}.")
    return things[key]


@asynccontextmanager
async def serving(
    descriptors: bytes, *kinds: type[Servicer], reflected_by: Sequence["Reflection"] = (), port: int = 0
) -> AsyncIterator[str]:
    """The services on one plaintext server, with the given kinds of reflection; yields `host:port`."""
    server = grpc.aio.server()
    messages = Messages(descriptors)
    for kind in kinds:
        server.add_generic_rpc_handlers((_handler(kind(messages), messages),))
    for reflect in reflected_by:
        server.add_generic_rpc_handlers((reflect([kind.service for kind in kinds], messages.pool),))
    taken = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{taken}"
    finally:
        await server.stop(None)


_MAKERS = {  # by whether the client streams, and whether the server does
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _handler(servicer: Servicer, messages: Messages) -> grpc.GenericRpcHandler:
    """The handler of a service; google's runtime reads and writes its messages, as any servicer's."""
    methods: dict[str, Any] = {}
    for method in messages.pool.FindServiceByName(servicer.service).methods:
        function = getattr(servicer, method.name)
        make = _MAKERS[method.client_streaming, inspect.isasyncgenfunction(function)]
        methods[method.name] = make(
            function,
            request_deserializer=messages[method.input_type.full_name].FromString,
            response_serializer=messages[method.output_type.full_name].SerializeToString,
        )
    return grpc.method_handlers_generic_handler(servicer.service, methods)


Reflection = Callable[[list[str], DescriptorPool], grpc.GenericRpcHandler]


def v1alpha(names: list[str], pool: DescriptorPool) -> grpc.GenericRpcHandler:
    """Reflection of grpcio's own package."""
    return _reflection("v1alpha", reflection.ReflectionServicer([*names, SERVICE_NAME], pool=pool).ServerReflectionInfo)


def v1(names: list[str], pool: DescriptorPool) -> grpc.GenericRpcHandler:
    """The newer version: the same messages under another name."""
    return _reflection("v1", reflection.ReflectionServicer([*names, SERVICE_NAME], pool=pool).ServerReflectionInfo)


def sparse(names: list[str], pool: DescriptorPool) -> grpc.GenericRpcHandler:
    """Reflection of a server that answers with one file at a time, and has none of Google's."""
    servicer = reflection.ReflectionServicer(names, pool=pool)

    async def answer(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            answers: Any = servicer.ServerReflectionInfo(_once(request), context)
            async for found in answers:
                files = found.file_descriptor_response.file_descriptor_proto
                if request.file_by_filename.startswith("google/"):
                    found = ServerReflectionResponse(error_response={"error_code": 5})
                elif files:
                    found.file_descriptor_response.file_descriptor_proto[:] = files[:1]
                yield found

    return _reflection("v1", answer)


async def _once(request: Any) -> AsyncIterator[Any]:
    yield request


def _reflection(version: str, answer: Any) -> grpc.GenericRpcHandler:
    handler = grpc.stream_stream_rpc_method_handler(
        answer,
        request_deserializer=ServerReflectionRequest.FromString,
        response_serializer=ServerReflectionResponse.SerializeToString,
    )
    service = f"grpc.reflection.{version}.ServerReflection"
    return grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler})
