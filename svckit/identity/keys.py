"""The Ed25519 keys of access tokens: one to sign with, and where the public ones come from."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

import grpc
import structlog
from chatmesh.auth.v1 import auth_pb2, auth_pb2_grpc
from joserfc.jwk import OKPKey

from svckit.errors import Unauthenticated, Unavailable

log = structlog.get_logger(__name__)

_MAX_AGE = 300.0  # seconds after which a key that was withdrawn is forgotten
_MIN_AGE = 1.0  # seconds between two fetches, however many unknown key ids arrive
_TIMEOUT = 2.0  # seconds; calls wait for a fetch


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private Ed25519 key under its key id."""

    kid: str
    key: OKPKey

    @classmethod
    def generate(cls, kid: str) -> Self:
        return cls(kid, OKPKey.generate_key("Ed25519"))

    @property
    def x(self) -> str:
        """The public half, base64url (RFC 8037)."""
        return str(self.key.as_dict(private=False)["x"])


class RemoteKeys:
    """The keys that another process publishes: fetched when needed, kept for five minutes.

    An unknown key id fetches again, so that a rotation is seen with its first token, but at most once a second. While
    they cannot be fetched, the known ones go on counting.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Sequence[tuple[str, str]]]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fetch` answers (kid, x) pairs, `x` being the public key in base64url (RFC 8037)."""
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, OKPKey] = {}
        self._fetched = self._tried = -math.inf
        self._fetching = asyncio.Lock()

    async def key(self, kid: str) -> OKPKey:
        """The public key of that id; raises `Unauthenticated` if there is none, `Unavailable` if that is not known."""
        if not self._knows(kid):
            async with self._fetching:
                if not self._knows(kid) and self._clock() - self._tried > _MIN_AGE:
                    await self._refresh()
        if kid in self._keys:
            return self._keys[kid]
        if self._fetched < self._tried:
            raise Unavailable("the keys of access tokens cannot be read for now", reason="KEYS_UNAVAILABLE")
        raise Unauthenticated("the access token is signed with an unknown key", reason="TOKEN_INVALID")

    def _knows(self, kid: str) -> bool:
        return kid in self._keys and self._clock() - self._fetched <= _MAX_AGE

    async def _refresh(self) -> None:
        fetched = False
        try:
            self._keys = {kid: _public_key(x) for kid, x in await self._fetch()}
            fetched = True
        except grpc.aio.AioRpcError as error:
            log.warning("signing keys cannot be fetched", code=error.code().name, details=error.details())
        finally:
            # When it ended: those who waited for a fetch that took long must not make it again, one after the other.
            self._tried = self._clock()
            if fetched:
                self._fetched = self._tried


def _public_key(x: str) -> OKPKey:
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})


def keys_of(channel: grpc.aio.Channel) -> Callable[[], Awaitable[Sequence[tuple[str, str]]]]:
    """What `RemoteKeys` fetches from auth_svc: the answer of its `ListSigningKeys`."""
    stub = auth_pb2_grpc.AuthServiceStub(channel)

    async def fetch() -> Sequence[tuple[str, str]]:
        response = await stub.ListSigningKeys(auth_pb2.ListSigningKeysRequest(), timeout=_TIMEOUT)
        return [(key.kid, key.x) for key in response.keys if key.alg == "EdDSA"]

    return fetch
