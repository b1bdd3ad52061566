"""ID tokens (OpenID Connect Core 1.0, section 3.1.3.7): what a provider says of a person, and whether to believe it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

PublicKey: TypeAlias = RSAKey | ECKey

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""All of them asymmetric: a public key can never be mistaken for the secret of an HMAC."""

_LEEWAY = 60  # seconds by which the provider's clock may differ
_LONGEST_SUBJECT = 255
_KEY_TYPES: Mapping[object, type[RSAKey] | type[ECKey]] = {"RSA": RSAKey, "EC": ECKey}


class BadToken(Exception):
    """The token does not prove anything; says why, for the log."""


class UnknownKey(BadToken):
    """It is signed with none of the known keys: there may be new ones."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Whom the provider means. `email` is empty unless the provider has verified it."""

    subject: str
    email: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the token must say."""

    issuer: str
    client_id: str
    nonce: str


def public_keys(jwks: Mapping[str, Any]) -> list[PublicKey]:
    """The keys of a JSON Web Key Set that can verify a signature here; the others are left out."""
    found: list[PublicKey] = []
    listed = jwks.get("keys")
    for each in listed if isinstance(listed, list) else ():
        kind = _KEY_TYPES.get(each.get("kty")) if isinstance(each, dict) else None
        if kind and each.get("use", "sig") == "sig":
            try:
                found.append(kind.import_key(each))
            except (JoseError, ValueError):
                continue
    return found


def read(
    token: str, *, keys: Sequence[PublicKey], algorithms: Collection[str], expected: Expected, now: datetime
) -> Profile:
    """Verify a token and tell whom it means; raises BadToken, UnknownKey among them."""
    try:
        claims = jwt.decode(token, _key_of(token, keys), algorithms=[*algorithms]).claims
        _registry(expected, now).validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        raise BadToken(str(error) or type(error).__name__) from error
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (several or "azp" in claims) and claims.get("azp") != expected.client_id:
        raise BadToken("it was made for somebody else")
    return _profile(claims)


def _key_of(token: str, keys: Sequence[PublicKey]) -> PublicKey:
    """The key that the header names, or the only one."""
    kid = jws.extract_compact(token.encode()).headers().get("kid")
    found = [key for key in keys if kid is None or key.kid == kid]
    if len(found) != 1:
        raise UnknownKey(f"{len(found)} keys have the id {kid!r}")
    return found[0]


def _registry(expected: Expected, now: datetime) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        int(now.timestamp()),
        _LEEWAY,
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.client_id},
        nonce={"essential": True, "value": expected.nonce},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )


def _profile(claims: Mapping[str, Any]) -> Profile:
    subject, email, name = claims["sub"], _text(claims.get("email")), _text(claims.get("name"))
    if not (isinstance(subject, str) and subject.isascii() and 0 < len(_text(subject)) <= _LONGEST_SUBJECT):
        raise BadToken("its subject is none")
    return Profile(subject, email if claims.get("email_verified") is True else "", name)


def _text(claim: object) -> str:
    """A claim that is a text and can be kept as one; PostgreSQL has no NUL."""
    return claim if isinstance(claim, str) and claim.isprintable() else ""
