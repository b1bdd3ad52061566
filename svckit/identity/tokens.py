"""Access tokens (RFC 9068): how auth_svc makes them, and how everybody else believes them."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel

from svckit.errors import Unauthenticated
from svckit.identity.caller import Claims, Role
from svckit.identity.jwts import AUDIENCE, claims_registry, expect_type
from svckit.identity.keys import RemoteKeys, SigningKey

ISSUER = "chatmesh"

_VERIFIED_FOR = 60.0  # seconds for which a good token is not computed again
_VERIFIED_LIMIT = 10_000


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


class EndedSessions(Protocol):
    """Who knows which sessions were ended: `svckit.revocations.Revocations`."""

    def contains(self, session_id: str) -> bool: ...


class TokenVerifier:
    """Says whose an access token is, or why it counts for nothing."""

    def __init__(self, *, keys: RemoteKeys, revocations: EndedSessions | None = None) -> None:
        self._keys = keys
        self._revocations = revocations
        self._claims = claims_registry("sub", "sid", "role", "jti", iss=ISSUER, aud=AUDIENCE)
        self._verified: dict[str, tuple[Claims, float]] = {}

    async def verify(self, token: str) -> Claims:
        """Check signature, type, claims and revocation; raises `Unauthenticated`.

        Keys come from `keys` alone: what a header offers (jku, jwk, x5u) is never looked at. A token that was
        good is not computed again for a minute, which saves most of the cost; its revocation is looked up every time.
        """
        claims = self._remembered(token)
        if claims is None:
            claims = await self._read(token)
            self._remember(token, claims)
        if self._ended(claims):
            raise Unauthenticated("the session was ended", reason="SESSION_REVOKED")
        return claims

    def known(self, token: str) -> Claims | None:
        """What `verify` would answer at once, because the token was good within the last minute; else None."""
        claims = self._remembered(token)
        return None if claims is None or self._ended(claims) else claims

    def _remembered(self, token: str) -> Claims | None:
        claims, until = self._verified.get(token, (None, 0.0))
        return claims if until > time.time() else None

    def _ended(self, claims: Claims) -> bool:
        return self._revocations is not None and self._revocations.contains(claims.session_id)

    def _remember(self, token: str, claims: Claims) -> None:
        if len(self._verified) >= _VERIFIED_LIMIT:
            self._verified.clear()
        self._verified[token] = claims, min(claims.expires.timestamp(), time.time() + _VERIFIED_FOR)

    async def _read(self, token: str) -> Claims:
        try:
            kid = expect_type(token, "at+jwt").get("kid")
            if not isinstance(kid, str):
                raise ValueError("it names no key")
            payload = jwt.decode(token, await self._keys.key(kid), registry=_EDDSA).claims
            self._claims.validate(payload)
            return _claims(payload)
        except ExpiredTokenError as error:
            raise Unauthenticated("the access token has expired", reason="TOKEN_EXPIRED") from error
        except (JoseError, ValueError) as error:
            raise Unauthenticated("the access token is not valid", reason="TOKEN_INVALID") from error


def _claims(payload: Mapping[str, object]) -> Claims:
    return Claims(
        user_id=str(payload["sub"]),
        session_id=str(payload["sid"]),
        role=Role(str(payload["role"])),
        token_id=str(payload["jti"]),
        expires=datetime.fromtimestamp(float(str(payload["exp"])), UTC),
    )
