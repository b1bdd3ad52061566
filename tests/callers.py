"""Who calls the services in tests: users whose tokens the tests sign themselves, and what they are refused with."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc
from chatmesh.auth.v1 import auth_pb2
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceServicer, add_AuthServiceServicer_to_server

from svckit import server
from svckit.errors import ServiceError
from svckit.identity import Claims, RemoteKeys, Role, ServiceCredential, SigningKey, TokenVerifier, mint
from svckit.ids import new_id
from svckit.rpc.call import Context
from svckit.rpc.status import received
from svckit.server import Service

_KEY = SigningKey.generate("test")
_AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]


def signed_in(user_id: str, *, role: Role = Role.USER, session_id: str = "") -> tuple[tuple[str, str], ...]:
    """Metadata that shows an access token of that user, in a session of its own unless one is named."""
    expires = datetime.now(UTC) + timedelta(hours=1)
    token = mint(Claims(user_id, session_id or new_id(), role, new_id(), expires), _KEY)
    return (("authorization", f"Bearer {token}"),)


async def refusal(call: Awaitable[object]) -> ServiceError:
    """The error that the call must end with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return received(error)
    raise AssertionError(f"it was not refused: {answer}")


@asynccontextmanager
async def keys_published() -> AsyncIterator[str]:
    """As much of auth as the other services need to believe those tokens; gives its address."""

    async def nobody_signs_in() -> list[tuple[str, str]]:
        return []

    async with server.running(
        name="auth",
        services=[Service(_AUTH, add_AuthServiceServicer_to_server, _Keys())],
        listen="127.0.0.1:0",
        admin_listen=None,
        verifier=TokenVerifier(keys=RemoteKeys(nobody_signs_in)),
        credential=ServiceCredential("auth", "nothing here asks for a service"),
        lame_duck=timedelta(0),
    ) as serving:
        yield serving.address


class _Keys(AuthServiceServicer):
    async def ListSigningKeys(
        self, request: auth_pb2.ListSigningKeysRequest, context: Context
    ) -> auth_pb2.ListSigningKeysResponse:
        key = auth_pb2.SigningKey(kid=_KEY.kid, kty="OKP", crv="Ed25519", x=_KEY.x, alg="EdDSA", use="sig")
        return auth_pb2.ListSigningKeysResponse(keys=[key])
