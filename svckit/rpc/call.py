"""One RPC: what its contract says of it, and one call of it while it is served."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from chatmesh.access.v1 import access_pb2
from google.protobuf.descriptor import ServiceDescriptor

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

DEFAULT_TIMEOUT = 15.0

_CODES: Mapping[object, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Rpc:
    """What an RPC's contract says of it.

    `name` is full (`chatmesh.chat.v1.ChatService/SendMessage`), `level` the least its caller must be, `timeout` how
    many seconds it may take when its caller names no deadline; None for a stream, which may last. `rate_class` is the
    limit that the edge counts a request for it in, `open_query` whether the edge drops query parameters that nobody
    knows, `error_format` how the edge writes its errors.
    """

    name: str
    level: access_pb2.Level.ValueType
    timeout: float | None = DEFAULT_TIMEOUT
    rate_class: access_pb2.RateClass.ValueType = access_pb2.RATE_CLASS_UNSPECIFIED
    open_query: bool = False
    error_format: access_pb2.ErrorFormat.ValueType = access_pb2.ERROR_FORMAT_UNSPECIFIED


@dataclass(slots=True)
class Call:
    """A call being served. `code` is how it ended, as far as is known."""

    rpc: Rpc
    context: Context
    metadata: Mapping[str, str]
    code: grpc.StatusCode = grpc.StatusCode.OK

    def take_code(self) -> None:
        """Take over the status that the handler set on the context itself."""
        code: object = self.context.code()
        self.code = code if isinstance(code, grpc.StatusCode) else _CODES.get(code or 0, grpc.StatusCode.UNKNOWN)


def begin(rpc: Rpc, context: Context) -> Call:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    return Call(rpc, context, metadata)


def rpcs_of(service: ServiceDescriptor) -> Iterator[Rpc]:
    """Every RPC of a service."""
    for method in service.methods:
        options = method.GetOptions()
        streaming = method.client_streaming or method.server_streaming
        yield Rpc(
            f"{service.full_name}/{method.name}",
            options.Extensions[access_pb2.level],
            None if streaming else options.Extensions[access_pb2.deadline_seconds] or DEFAULT_TIMEOUT,
            options.Extensions[access_pb2.rate_class],
            options.Extensions[access_pb2.open_query],
            options.Extensions[access_pb2.error_format],
        )
