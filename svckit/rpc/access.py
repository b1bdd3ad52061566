"""Lets a call in if its caller is what the RPC's access level asks for, and says for the rest of the call who it is.

The credential that a level asks for must be there and good. One that it does not ask for counts only if it is good, so
that a stale token does not keep anybody from signing in, and a user's token that expired on the way does not stop one
service from calling another.
"""

from collections.abc import Mapping, Set

from chatmesh.access.v1 import access_pb2

from svckit import identity
from svckit.errors import PermissionDenied, Unauthenticated, Unavailable
from svckit.identity import Claims, Identity, Role, ServiceCredential, TokenVerifier
from svckit.rpc.call import Call

_ROLES: Mapping[int, Set[Role]] = {
    access_pb2.LEVEL_USER: {Role.USER, Role.ANALYST, Role.ADMIN},
    access_pb2.LEVEL_ANALYST: {Role.ANALYST, Role.ADMIN},
    access_pb2.LEVEL_ADMIN: {Role.ADMIN},
}


class Gate:
    """Knows how to check both kinds of credential."""

    def __init__(self, *, verifier: TokenVerifier, credential: ServiceCredential) -> None:
        self._verifier = verifier
        self._credential = credential

    async def admit(self, call: Call) -> None:
        """Set the call's identity; raises `Unauthenticated` or `PermissionDenied`."""
        level = call.rpc.level
        if level == access_pb2.LEVEL_UNSPECIFIED:
            raise PermissionDenied("this RPC names no access level", reason="ACCESS_LEVEL_MISSING")
        service = self._service(call, required=level == access_pb2.LEVEL_SERVICE)
        claims = await self._user(call, required=level in _ROLES)
        if claims is None:
            identity.serve_as(Identity(service=service))
            return
        identity.serve_as(
            Identity(claims.user_id, claims.session_id, claims.role, service),
            authorization=call.metadata[identity.AUTHORIZATION_KEY],
        )
        if level in _ROLES and claims.role not in _ROLES[level]:
            raise PermissionDenied("your role may not do this", reason="ROLE_TOO_LOW")

    async def _user(self, call: Call, *, required: bool) -> Claims | None:
        try:
            return await self._verifier.verify(_bearer(call, identity.AUTHORIZATION_KEY))
        except (Unauthenticated, Unavailable):
            if required:
                raise
            return None

    def _service(self, call: Call, *, required: bool) -> str:
        try:
            return self._credential.verify(_bearer(call, identity.SERVICE_AUTHORIZATION_KEY))
        except Unauthenticated:
            if required:
                raise
            return ""


def _bearer(call: Call, key: str) -> str:
    scheme, _, token = call.metadata.get(key, "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated(f"{key}: a bearer token is needed", reason="CREDENTIALS_MISSING")
    return token.strip()
