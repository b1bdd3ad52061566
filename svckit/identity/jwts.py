"""What both kinds of token have in common: JSON Web Tokens, each with a type of its own (RFC 8725, section 3.11)."""

from collections.abc import Mapping
from datetime import timedelta

from joserfc import jws, jwt

AUDIENCE = "chatmesh"

CLOCK_LEEWAY = timedelta(seconds=60)
"""By how much two machines' clocks may differ: a token may be that much from the future, or over."""


def expect_type(token: str, type_: str) -> Mapping[str, object]:
    """The token's header, still unverified, if it is of that type: one kind of token must never pass for another."""
    header = jws.extract_compact(token.encode()).headers()
    if header.get("typ") != type_:
        raise ValueError(f"its type is not {type_}")
    return header


def claims_registry(*required: str, **values: str) -> jwt.JWTClaimsRegistry:
    """Checks `iat` and `exp` with some leeway, that `required` claims are there, and that `values` are as given."""
    options: dict[str, jwt.ClaimsOption] = {name: {"essential": True} for name in ("exp", "iat", *required)}
    options |= {name: {"essential": True, "value": value} for name, value in values.items()}
    return jwt.JWTClaimsRegistry(None, int(CLOCK_LEEWAY.total_seconds()), **options)
