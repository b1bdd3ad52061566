"""Who calls: the identity of the RPC being served, and the tokens that prove it.

A user shows an access token: an EdDSA JWT of auth_svc (RFC 9068), which every service verifies on its own. A process
of the mesh shows, besides, a service token that is signed with the secret all of them share.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self

import grpc
import structlog
from chatmesh.auth.v1 import auth_pb2, auth_pb2_grpc
from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import OctKey, OKPKey

from svckit.errors import Unauthenticated, Unavailable

if TYPE_CHECKING:
    from svckit.revocations import Revocations

log = structlog.get_logger(__name__)

ISSUER = "chatmesh"
AUDIENCE = "chatmesh"
AUTHORIZATION_KEY = "authorization"
SERVICE_AUTHORIZATION_KEY = "x-service-authorization"

_LEEWAY = 30  # seconds by which two machines' clocks may differ
_KEYS_MAX_AGE = 300.0  # seconds after which a key that was withdrawn is forgotten
_KEYS_MIN_AGE = 1.0  # seconds between two fetches, however many unknown key ids arrive
_KEYS_TIMEOUT = 2.0  # seconds; calls wait for it
_VERIFIED_FOR = 60.0  # seconds for which a good token is not computed again
_VERIFIED_LIMIT = 10_000
_SERVICE_TOKEN_LIFE = 120
_SERVICE_TOKEN_REUSE = 60


class Role(StrEnum):
    """What a user may do; each role may do what the ones before it may."""

    USER = "user"
    ANALYST = "analyst"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls an RPC; empty fields mean nobody signed in, or no service."""

    user_id: str = ""
    session_id: str = ""
    role: Role | None = None
    service: str = ""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says. `expires` is aware UTC."""

    user_id: str
    session_id: str
    role: Role
    token_id: str
    expires: datetime


_NOBODY = Identity()
_identity: ContextVar[Identity] = ContextVar("identity", default=_NOBODY)
_authorization: ContextVar[str] = ContextVar("authorization", default="")


def current() -> Identity:
    """Who calls the RPC being served; an empty identity outside of one."""
    return _identity.get()


def user_id() -> str:
    """The signed-in user's id; raises `Unauthenticated` if nobody is signed in."""
    if not (caller := current().user_id):
        raise Unauthenticated("sign in first", reason="CREDENTIALS_MISSING")
    return caller


def authorization() -> str:
    """The verified `authorization` of the RPC being served, for calls made on its user's behalf; else empty."""
    return _authorization.get()


def serve_as(identity: Identity, *, authorization: str = "") -> None:
    """Say who calls, for the rest of the current task. Only what verified the credentials may."""
    _identity.set(identity)
    _authorization.set(authorization)


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


class _OnlyEdDSA(jws.JWSRegistry):
    """An allow-list of one. RFC 9864 has renamed `EdDSA`, the name that tokens and JWKS consumers know it by."""

    def get_alg(self, name: str) -> JWSAlgModel:
        if name != "EdDSA":
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


_EDDSA = _OnlyEdDSA()


def mint(claims: Claims, key: SigningKey, *, now: datetime | None = None) -> str:
    """Sign an access token (RFC 9068) that says `claims`."""
    payload = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": claims.user_id,
        "sid": claims.session_id,
        "role": claims.role.value,
        "iat": int((now or datetime.now(UTC)).timestamp()),
        "exp": int(claims.expires.timestamp()),
        "jti": claims.token_id,
    }
    return jwt.encode({"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid}, payload, key.key, registry=_EDDSA)


class KeySource(Protocol):
    """Where the public keys of access tokens come from."""

    async def key(self, kid: str) -> OKPKey:
        """The public key of that id; raises `Unauthenticated` if there is none."""


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
        if not self._knows(kid):
            async with self._fetching:
                if not self._knows(kid) and self._clock() - self._tried > _KEYS_MIN_AGE:
                    await self._refresh()
        if kid in self._keys:
            return self._keys[kid]
        if self._fetched < self._tried:
            raise Unavailable("the keys of access tokens cannot be read for now", reason="KEYS_UNAVAILABLE")
        raise Unauthenticated("the access token is signed with an unknown key", reason="TOKEN_INVALID")

    def _knows(self, kid: str) -> bool:
        return kid in self._keys and self._clock() - self._fetched <= _KEYS_MAX_AGE

    async def _refresh(self) -> None:
        self._tried = self._clock()
        try:
            self._keys = {kid: _public_key(x) for kid, x in await self._fetch()}
        except grpc.aio.AioRpcError as error:
            log.warning("signing keys cannot be fetched", code=error.code().name, details=error.details())
        else:
            self._fetched = self._tried


def _public_key(x: str) -> OKPKey:
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})


def keys_of(channel: grpc.aio.Channel) -> Callable[[], Awaitable[Sequence[tuple[str, str]]]]:
    """What `RemoteKeys` fetches from auth_svc: the answer of its `ListSigningKeys`."""
    stub = auth_pb2_grpc.AuthServiceStub(channel)

    async def fetch() -> Sequence[tuple[str, str]]:
        response = await stub.ListSigningKeys(auth_pb2.ListSigningKeysRequest(), timeout=_KEYS_TIMEOUT)
        return [(key.kid, key.x) for key in response.keys if key.alg == "EdDSA"]

    return fetch


class TokenVerifier:
    """Says whose an access token is, or why it counts for nothing."""

    def __init__(
        self,
        *,
        keys: KeySource,
        revocations: "Revocations | None" = None,
        issuer: str = ISSUER,
        audience: str = AUDIENCE,
    ) -> None:
        self._keys = keys
        self._revocations = revocations
        self._claims = _claims_registry("sub", "sid", "role", "jti", iss=issuer, aud=audience)
        self._verified: dict[str, tuple[Claims, float]] = {}

    async def verify(self, token: str) -> Claims:
        """Check signature, type, claims and revocation; raises `Unauthenticated`.

        Keys come from `KeySource` alone: what a header offers (jku, jwk, x5u) is never looked at. A token that was
        good is not computed again for a minute, which saves most of the cost; its revocation is looked up every time.
        """
        claims, until = self._verified.get(token, (None, 0.0))
        if claims is None or until <= time.time():
            claims = await self._read(token)
            self._remember(token, claims)
        if self._revocations and self._revocations.contains(claims.session_id):
            raise Unauthenticated("the session was ended", reason="SESSION_REVOKED")
        return claims

    def _remember(self, token: str, claims: Claims) -> None:
        if len(self._verified) >= _VERIFIED_LIMIT:
            self._verified.clear()
        self._verified[token] = claims, min(claims.expires.timestamp(), time.time() + _VERIFIED_FOR)

    async def _read(self, token: str) -> Claims:
        try:
            kid = _expect_type(token, "at+jwt").get("kid")
            if not isinstance(kid, str):
                raise ValueError("it names no key")
            payload = jwt.decode(token, await self._keys.key(kid), registry=_EDDSA).claims
            self._claims.validate(payload)
            return _claims(payload)
        except ExpiredTokenError as error:
            raise Unauthenticated("the access token has expired", reason="TOKEN_EXPIRED") from error
        except (JoseError, ValueError) as error:
            raise Unauthenticated(f"the access token does not count: {error}", reason="TOKEN_INVALID") from error


def _claims(payload: Mapping[str, object]) -> Claims:
    return Claims(
        user_id=str(payload["sub"]),
        session_id=str(payload["sid"]),
        role=Role(str(payload["role"])),
        token_id=str(payload["jti"]),
        expires=datetime.fromtimestamp(float(str(payload["exp"])), UTC),
    )


@dataclass
class ServiceCredential:
    """Shows the other processes which one of the mesh this is, and checks what they show."""

    name: str
    secret: str = field(repr=False)
    _token: str = field(default="", init=False, repr=False)
    _made: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        self._key = OctKey.import_key(self.secret)
        self._claims = _claims_registry("iss", aud=AUDIENCE)

    def token(self) -> str:
        """A service token: an HS256 JWT of two minutes, made anew after one."""
        now = time.time()
        if now - self._made > _SERVICE_TOKEN_REUSE:
            claims = {"iss": self.name, "aud": AUDIENCE, "iat": int(now), "exp": int(now) + _SERVICE_TOKEN_LIFE}
            self._token = jwt.encode({"alg": "HS256", "typ": "svc+jwt"}, claims, self._key, algorithms=["HS256"])
            self._made = now
        return self._token

    def verify(self, token: str) -> str:
        """The name of the service that made `token`; raises `Unauthenticated`."""
        try:
            _expect_type(token, "svc+jwt")
            payload = jwt.decode(token, self._key, algorithms=["HS256"]).claims
            self._claims.validate(payload)
        except (JoseError, ValueError) as error:
            raise Unauthenticated(f"the service credential does not count: {error}", reason="TOKEN_INVALID") from error
        return str(payload["iss"])


def _expect_type(token: str, type_: str) -> Mapping[str, object]:
    """The token's header, still unverified, if it is of that type: one kind of token must never pass for another."""
    header = jws.extract_compact(token.encode()).headers()
    if header.get("typ") != type_:
        raise ValueError(f"its type is not {type_}")
    return header


def _claims_registry(*required: str, **values: str) -> jwt.JWTClaimsRegistry:
    """Checks `iat` and `exp` with some leeway, that `required` claims are there, and that `values` are as given."""
    options: dict[str, jwt.ClaimsOption] = {name: {"essential": True} for name in ("exp", "iat", *required)}
    options |= {name: {"essential": True, "value": value} for name, value in values.items()}
    return jwt.JWTClaimsRegistry(None, _LEEWAY, **options)
