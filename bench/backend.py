"""The backend of every measurement: plain grpc.aio that answers with bytes made beforehand.

`python -m bench.backend PORT X`, where X is the public key (base64url) that access tokens are verified with.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence

import grpc
from chatmesh.auth.v1 import auth_pb2

from bench.rows import ROWS, SERVICE, Row

KEY_ID = "bench"

_Context = grpc.aio.ServicerContext[bytes, bytes]


def _handler(replies: Sequence[bytes], *, streams: bool) -> "grpc.RpcMethodHandler[bytes, bytes]":
    """Without serializers: bytes in, bytes out."""

    async def unary(_request: bytes, _context: _Context) -> bytes:
        return replies[0]

    async def stream(_request: bytes, _context: _Context) -> AsyncIterator[bytes]:
        for reply in replies:
            yield reply

    return grpc.unary_stream_rpc_method_handler(stream) if streams else grpc.unary_unary_rpc_method_handler(unary)


def _of(row: Row) -> "grpc.RpcMethodHandler[bytes, bytes]":
    return _handler([reply.SerializeToString() for reply in row.replies], streams=row.streams)


def _keys(x: str) -> bytes:
    key = auth_pb2.SigningKey(kty="OKP", crv="Ed25519", use="sig", alg="EdDSA", kid=KEY_ID, x=x)
    return auth_pb2.ListSigningKeysResponse(keys=[key]).SerializeToString()


async def _serve(port: int, x: str) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    auth = auth_pb2.DESCRIPTOR.services_by_name["AuthService"].full_name
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, {row.rpc: _of(row) for row in ROWS.values()}),
            grpc.method_handlers_generic_handler(auth, {"ListSigningKeys": _handler([_keys(x)], streams=False)}),
        )
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
