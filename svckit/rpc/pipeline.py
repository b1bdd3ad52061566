"""What happens around every call, in order, composed once for each RPC."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias

import grpc
from chatmesh.access.v1 import access_pb2
from google.protobuf.descriptor import ServiceDescriptor

from svckit.errors import Unimplemented
from svckit.rpc import deadline
from svckit.rpc.access import Gate
from svckit.rpc.call import Call, Context, Rpc, begin, rpcs_of
from svckit.rpc.errors import translated
from svckit.rpc.idempotency import with_key
from svckit.rpc.log import recorded
from svckit.rpc.shedding import Shedding
from svckit.rpc.validation import Validation

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour: TypeAlias = Callable[[Any, Context], Any]

# For every gRPC client and probe, whoever it is, and answered even when the server is full.
REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
OPEN_SERVICES = frozenset({"grpc.health.v1.Health", *REFLECTION})


class Pipeline(grpc.aio.ServerInterceptor):
    """The one interceptor of a server: wraps each RPC's handler once and keeps the result.

    Streamed answers are written with `context.write` from inside the wrapper instead of being yielded: then a client
    that leaves cancels this very coroutine, and never leaves a suspended generator behind for the event loop to close
    in another task, with other context variables.
    """

    def __init__(self, *, services: Sequence[ServiceDescriptor], gate: Gate, max_concurrent: int) -> None:
        self._rpcs: Mapping[str, Rpc] = {f"/{rpc.name}": rpc for service in services for rpc in rpcs_of(service)}
        self._gate = gate
        self._validation = Validation()
        # Apart, so that streams, which may be silent for minutes, leave room for unary calls.
        self._unary = Shedding(max_concurrent)
        self._streams = Shedding(max_concurrent)
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        method = handler_call_details.method
        if (wrapped := self._wrapped.get(method)) is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        self._wrapped[method] = wrapped = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Handler) -> Handler:
        service, _, _ = method.strip("/").partition("/")
        if service in OPEN_SERVICES:
            return handler
        rpc = self._rpcs.get(method, Rpc(method.strip("/"), access_pb2.LEVEL_UNSPECIFIED))
        handle: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        take: Callable[[Any], Any] = self._validation.each if handler.request_streaming else self._validation.checked
        streaming = handler.request_streaming or handler.response_streaming
        serve = _write_all if handler.response_streaming else _answer_once
        if handle.__module__.endswith("_pb2_grpc"):
            serve, take = _refuse, _untouched
        make = _HANDLERS[handler.request_streaming, handler.response_streaming]

        async def call(request: Any, context: Context) -> Any:
            begun = begin(rpc, context)
            async with self._around(begun, streaming=streaming):
                whole = request if handler.request_streaming else with_key(request, begun)
                return await serve(handle, take(whole), context)

        return make(call, handler.request_deserializer, handler.response_serializer)

    @asynccontextmanager
    async def _around(self, call: Call, *, streaming: bool) -> AsyncIterator[None]:
        """The life of a call, from the outside in."""
        with recorded(call):
            async with translated(call):
                with (self._streams if streaming else self._unary).slot():
                    await self._gate.admit(call)
                    async with deadline.limited(call):
                        yield


async def _answer_once(handle: Behaviour, request: Any, context: Context) -> Any:
    return await handle(request, context)


async def _write_all(handle: Behaviour, request: Any, context: Context) -> None:
    async with aclosing(handle(request, context)) as messages:
        async for message in messages:
            await context.write(message)


async def _refuse(handle: Behaviour, request: Any, context: Context) -> None:
    """Stand in for a method of the generated base class, which nobody has written yet."""
    raise Unimplemented("this RPC is not served yet")


def _untouched(request: Any) -> Any:
    return request


_HANDLERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
