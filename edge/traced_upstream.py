"""The upstream with a span around each call; used only where spans are recorded."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc

from edge.transcoder import Metadata, Reply, ReplyStream, Upstream, UpstreamError
from svckit.rpc import client_spans
from svckit.telemetry import TRACEPARENT_KEY

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class TracedUpstream:
    """Passes every call on, with the traceparent of its own span in the place of the request's."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def unary(self, method: str, request: bytes, *, metadata: Metadata, timeout: float | None) -> Reply:
        with _spanned(method, metadata) as own:
            return await self._upstream.unary(method, request, metadata=own, timeout=timeout)

    @asynccontextmanager
    async def stream(
        self, method: str, request: bytes, *, metadata: Metadata, timeout: float | None
    ) -> AsyncIterator[ReplyStream]:
        with _spanned(method, metadata) as own:
            async with self._upstream.stream(method, request, metadata=own, timeout=timeout) as replies:
                yield replies

    async def client_stream(
        self, method: str, requests: AsyncIterable[bytes], *, metadata: Metadata, timeout: float | None
    ) -> Reply:
        with _spanned(method, metadata) as own:
            return await self._upstream.client_stream(method, requests, metadata=own, timeout=timeout)

    @asynccontextmanager
    async def bidi_stream(
        self, method: str, requests: AsyncIterable[bytes], *, metadata: Metadata, timeout: float | None
    ) -> AsyncIterator[ReplyStream]:
        with _spanned(method, metadata) as own:
            async with self._upstream.bidi_stream(method, requests, metadata=own, timeout=timeout) as replies:
                yield replies


@contextmanager
def _spanned(method: str, metadata: Metadata) -> Iterator[Metadata]:
    recording = client_spans.begin(method)
    if recording is None:
        yield metadata
        return
    code = grpc.StatusCode.UNKNOWN
    try:
        yield [(key, value) for key, value in metadata if key != TRACEPARENT_KEY] + [
            (TRACEPARENT_KEY, str(recording.place))
        ]
        code = grpc.StatusCode.OK
    except UpstreamError as error:
        code = _CODES.get(error.code, code)
        raise
    except (asyncio.CancelledError, ConnectionError):  # our client has gone, and the call is cancelled with it
        code = grpc.StatusCode.CANCELLED
        raise
    finally:
        client_spans.end(recording, code)
