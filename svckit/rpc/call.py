"""One RPC: what its contract says of it, and one call of it while it is served."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from chatmesh.access.v1 import access_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_CODES: Mapping[object, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Rpc:
    """An RPC by its full name (`chatmesh.chat.v1.ChatService/SendMessage`) and the least its caller must be."""

    name: str
    level: access_pb2.Level.ValueType


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
        yield Rpc(f"{service.full_name}/{method.name}", _level(method))


def _level(method: MethodDescriptor) -> access_pb2.Level.ValueType:
    return method.GetOptions().Extensions[access_pb2.level]
