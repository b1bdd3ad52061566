"""How a service that is not auth itself believes access tokens: the keys are auth's, ended sessions come by Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatmesh.auth.v1 import auth_pb2
from redis.asyncio import Redis

from svckit import clients, process
from svckit.identity import RemoteKeys, ServiceCredential, TokenVerifier, keys_of
from svckit.revocations import Revocations
from svckit.tls import Tls

_AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]


@asynccontextmanager
async def token_verifier(
    *, auth_service_url: str, redis: Redis, credential: ServiceCredential, tls: Tls | None = None
) -> AsyncIterator[TokenVerifier]:
    """A verifier that hears of ended sessions while the block runs."""
    revocations = Revocations(redis)
    async with (
        clients.channel(auth_service_url, services=[_AUTH], credential=credential, tls=tls) as auth,
        process.background(revocations.run),
    ):
        yield TokenVerifier(keys=RemoteKeys(keys_of(auth)), revocations=revocations)
