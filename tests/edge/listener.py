"""A service that answers every RPC with one empty message, and keeps the metadata that it heard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

_Context = grpc.aio.ServicerContext[bytes, bytes]


class Listener(grpc.GenericRpcHandler):
    """`address` is where it listens, `heard` the metadata of the latest call."""

    def __init__(self) -> None:
        self.address = ""
        self.heard: dict[str, object] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        method = handler_call_details.method
        if not method.startswith("/chatmesh."):
            return None  # a service that cannot tell its health counts as well
        if method.endswith("/StreamMessage"):
            return grpc.unary_stream_rpc_method_handler(self._stream)
        if method.endswith("/Converse"):
            return grpc.stream_stream_rpc_method_handler(self._converse)
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, _request: bytes, context: _Context) -> bytes:
        self.heard = dict(context.invocation_metadata() or ())
        return b""

    async def _stream(self, _request: bytes, context: _Context) -> AsyncIterator[bytes]:
        self.heard = dict(context.invocation_metadata() or ())
        yield b""

    async def _converse(self, requests: AsyncIterator[bytes], context: _Context) -> AsyncIterator[bytes]:
        self.heard = dict(context.invocation_metadata() or ())
        async for _ in requests:
            yield b""


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    server = grpc.aio.server()
    listener = Listener()
    server.add_generic_rpc_handlers((listener,))
    listener.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield listener
    finally:
        await server.stop(None)
