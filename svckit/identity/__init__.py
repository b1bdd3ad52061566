"""Who calls, and the tokens that prove it.

A user shows an access token: an EdDSA JWT of auth_svc, which every service verifies on its own (`tokens`, `keys`). A
process of the mesh shows, besides, a service token signed with the secret that all of them share (`services`). While
an RPC is served, `current()` says who calls it (`caller`).
"""

from svckit.identity.caller import Claims, Identity, Role, authorization, current, serve_as, user_id
from svckit.identity.jwts import AUDIENCE, CLOCK_LEEWAY
from svckit.identity.keys import RemoteKeys, SigningKey, keys_of
from svckit.identity.services import ServiceCredential
from svckit.identity.tokens import ISSUER, TokenVerifier, mint

AUTHORIZATION_KEY = "authorization"
SERVICE_AUTHORIZATION_KEY = "x-service-authorization"

__all__ = [
    "AUDIENCE",
    "AUTHORIZATION_KEY",
    "CLOCK_LEEWAY",
    "ISSUER",
    "SERVICE_AUTHORIZATION_KEY",
    "Claims",
    "Identity",
    "RemoteKeys",
    "Role",
    "ServiceCredential",
    "SigningKey",
    "TokenVerifier",
    "authorization",
    "current",
    "keys_of",
    "mint",
    "serve_as",
    "user_id",
]
