"""The upstream over grpc.aio channels, one for each service."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import grpc
import grpc.aio
from google.rpc import code_pb2

from edge.transcoder.upstream import Metadata, Reply, UpstreamError

_DETAILS_KEY = "grpc-status-details-bin"
_Unary = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
_Stream = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
_ClientStream = grpc.aio.StreamUnaryMultiCallable[bytes, bytes]
_BidiStream = grpc.aio.StreamStreamMultiCallable[bytes, bytes]
_TakesRequests = grpc.aio.StreamUnaryCall[bytes, bytes] | grpc.aio.StreamStreamCall[bytes, bytes]
_StreamsReplies = grpc.aio.UnaryStreamCall[bytes, bytes] | grpc.aio.StreamStreamCall[bytes, bytes]
_ENDED = (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError)  # what a write then raises


class GrpcUpstream:
    """Calls each RPC on the channel of its service. The channels belong to the caller, who closes them."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """`channels` is by the service's full name, such as `library.v1.LibraryService`."""
        self._channels = channels
        self._unary: dict[str, _Unary] = {}
        self._stream: dict[str, _Stream] = {}
        self._client_stream: dict[str, _ClientStream] = {}
        self._bidi_stream: dict[str, _BidiStream] = {}

    async def unary(self, method: str, request: bytes, *, metadata: Metadata, timeout: float | None) -> Reply:
        call = self._unary.get(method)
        if call is None:
            call = self._unary[method] = self._channel(method).unary_unary(method)
        running = call(request, timeout=timeout, metadata=tuple(metadata))
        try:
            body = await running
            return Reply(body, _pairs(await running.initial_metadata()), _pairs(await running.trailing_metadata()))
        except grpc.aio.AioRpcError as error:
            raise _upstream_error(error) from None

    @asynccontextmanager
    async def stream(
        self, method: str, request: bytes, *, metadata: Metadata, timeout: float | None
    ) -> AsyncIterator["GrpcReplyStream"]:
        call = self._stream.get(method)
        if call is None:
            call = self._stream[method] = self._channel(method).unary_stream(method)
        running = call(request, timeout=timeout, metadata=tuple(metadata))
        try:
            yield GrpcReplyStream(running)
        finally:
            running.cancel()

    async def client_stream(
        self, method: str, requests: AsyncIterable[bytes], *, metadata: Metadata, timeout: float | None
    ) -> Reply:
        call = self._client_stream.get(method)
        if call is None:
            call = self._client_stream[method] = self._channel(method).stream_unary(method)
        running = call(timeout=timeout, metadata=tuple(metadata))
        async with _fed(running, requests) as feeder:
            try:
                body = await running
                return Reply(body, _pairs(await running.initial_metadata()), _pairs(await running.trailing_metadata()))
            except grpc.aio.AioRpcError as error:
                raise _upstream_error(error) from None
            except asyncio.CancelledError:
                _raise_failure(feeder)
                raise

    @asynccontextmanager
    async def bidi_stream(
        self, method: str, requests: AsyncIterable[bytes], *, metadata: Metadata, timeout: float | None
    ) -> AsyncIterator["GrpcReplyStream"]:
        call = self._bidi_stream.get(method)
        if call is None:
            call = self._bidi_stream[method] = self._channel(method).stream_stream(method)
        running = call(timeout=timeout, metadata=tuple(metadata))
        async with _fed(running, requests) as feeder:
            yield GrpcReplyStream(running, feeder)

    def _channel(self, method: str) -> grpc.aio.Channel:
        service = method.split("/")[1]
        if service not in self._channels:
            raise UpstreamError(code_pb2.UNIMPLEMENTED, f"{service} is not served here.")
        return self._channels[service]


class GrpcReplyStream:
    """One call that streams its replies; grpc.aio hands over one message at a time."""

    def __init__(self, call: _StreamsReplies, feeder: asyncio.Task[None] | None = None) -> None:
        """`feeder` sends the requests, if they are a stream too."""
        self._call = call
        self._feeder = feeder
        self._messages = call.__aiter__()
        self._started = False
        self.initial_metadata: Metadata = ()

    async def read(self) -> Sequence[bytes]:
        try:
            message = await anext(self._messages, None)
            if not self._started:
                self._started = True
                self.initial_metadata = _pairs(await self._call.initial_metadata())
        except grpc.aio.AioRpcError as error:
            raise _upstream_error(error) from None
        except asyncio.CancelledError:
            if self._feeder is not None:
                _raise_failure(self._feeder)
            raise
        return () if message is None else (message,)


@asynccontextmanager
async def _fed(call: _TakesRequests, requests: AsyncIterable[bytes]) -> AsyncIterator[asyncio.Task[None]]:
    """While inside: a task sends the requests. At the end the call is over.

    An iterator handed to grpc.aio would be read by such a task as well, which logs what it raises and keeps it.
    """
    feeder = asyncio.create_task(_feed(call, requests))
    feeder.add_done_callback(lambda done: done.cancelled() or done.exception() is None or call.cancel())
    try:
        yield feeder
    finally:
        feeder.cancel()
        call.cancel()
        await asyncio.wait([feeder])


async def _feed(call: _TakesRequests, requests: AsyncIterable[bytes]) -> None:
    """Send the requests, each when there is room for it, and half-close; stop when the RPC has ended."""
    async for request in requests:
        try:
            await call.write(request)
        except _ENDED:
            return
    with suppress(*_ENDED):
        await call.done_writing()


def _raise_failure(feeder: asyncio.Task[None]) -> None:
    """Raise what the requests raised, if it is why the call was cancelled, and not that our own task was."""
    waiting = asyncio.current_task()
    ours = waiting is not None and waiting.cancelling()
    if feeder.done() and not feeder.cancelled() and not ours and (failure := feeder.exception()):
        raise failure from None


def _pairs(metadata: grpc.aio.Metadata | None) -> Metadata:
    return tuple(metadata) if metadata else ()


def _upstream_error(error: grpc.aio.AioRpcError) -> UpstreamError:
    metadata = (*_pairs(error.initial_metadata()), *_pairs(error.trailing_metadata()))
    details = next((value for key, value in metadata if key == _DETAILS_KEY), b"")
    code: int = error.code().value[0]
    return UpstreamError(code, error.details() or "", details if isinstance(details, bytes) else b"", metadata)
