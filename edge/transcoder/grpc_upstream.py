"""The upstream over grpc.aio channels, one for each service."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import grpc
import grpc.aio
from google.rpc import code_pb2

from edge.transcoder.upstream import Metadata, Reply, UpstreamError

_DETAILS_KEY = "grpc-status-details-bin"
_Unary = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
_Stream = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]


class GrpcUpstream:
    """Calls each RPC on the channel of its service. The channels belong to the caller, who closes them."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """`channels` is by the service's full name, such as `library.v1.LibraryService`."""
        self._channels = channels
        self._unary: dict[str, _Unary] = {}
        self._stream: dict[str, _Stream] = {}

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

    def _channel(self, method: str) -> grpc.aio.Channel:
        service = method.split("/")[1]
        if service not in self._channels:
            raise UpstreamError(code_pb2.UNIMPLEMENTED, f"{service} is not served here.")
        return self._channels[service]


class GrpcReplyStream:
    """One server-streaming call; grpc.aio hands over one message at a time."""

    def __init__(self, call: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> None:
        self._call = call
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
        return () if message is None else (message,)


def _pairs(metadata: grpc.aio.Metadata | None) -> Metadata:
    return tuple(metadata) if metadata else ()


def _upstream_error(error: grpc.aio.AioRpcError) -> UpstreamError:
    metadata = (*_pairs(error.initial_metadata()), *_pairs(error.trailing_metadata()))
    details = next((value for key, value in metadata if key == _DETAILS_KEY), b"")
    code: int = error.code().value[0]
    return UpstreamError(code, error.details() or "", details if isinstance(details, bytes) else b"", metadata)
