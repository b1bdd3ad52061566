"""The upstream with each call measured, and in a span where spans are recorded."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc

from edge.transcoder import Metadata, Reply, ReplyStream, Upstream, UpstreamError
from svckit.rpc.client_calls import ClientCall
from svckit.telemetry import TRACEPARENT_KEY, Recording

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ObservedUpstream:
    """Passes every call on; where it has a span, with that one's traceparent in the place of the request's."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def unary(self, method: str, request: bytes, *, metadata: Metadata, timeout: float | None) -> Reply:
        with _observed(method, metadata) as own:
            return await self._upstream.unary(method, request, metadata=own, timeout=timeout)

    @asynccontextmanager
    async def stream(
        self, method: str, request: bytes, *, metadata: Metadata, timeout: float | None
    ) -> AsyncIterator[ReplyStream]:
        with _observed(method, metadata) as own:
            async with self._upstream.stream(method, request, metadata=own, timeout=timeout) as replies:
                yield replies

    async def client_stream(
        self, method: str, requests: AsyncIterable[bytes], *, metadata: Metadata, timeout: float | None
    ) -> Reply:
        with _observed(method, metadata) as own:
            return await self._upstream.client_stream(method, requests, metadata=own, timeout=timeout)

    @asynccontextmanager
    async def bidi_stream(
        self, method: str, requests: AsyncIterable[bytes], *, metadata: Metadata, timeout: float | None
    ) -> AsyncIterator[ReplyStream]:
        with _observed(method, metadata) as own:
            async with self._upstream.bidi_stream(method, requests, metadata=own, timeout=timeout) as replies:
                yield replies


@contextmanager
def _observed(method: str, metadata: Metadata) -> Iterator[Metadata]:
    """What the call takes along; it ends with the block."""
    call = ClientCall(method)
    code = grpc.StatusCode.UNKNOWN
    try:
        yield _below(call.span, metadata) if call.span else metadata
        code = grpc.StatusCode.OK
    except UpstreamError as error:
        code = _CODES.get(error.code, code)
        raise
    except (asyncio.CancelledError, ConnectionError):  # our client has gone, and the call is cancelled with it
        code = grpc.StatusCode.CANCELLED
        raise
    finally:
        call.end(code)


def _below(span: Recording, metadata: Metadata) -> Metadata:
    others = [(key, value) for key, value in metadata if key != TRACEPARENT_KEY]
    return [*others, (TRACEPARENT_KEY, str(span.place))]
