"""Who sends a request: the access token behind its bearer credential or session cookie."""

import time
from collections import OrderedDict
from dataclasses import dataclass

from aiohttp import web

from edge.sessions import Credential, Sessions
from svckit.errors import Unauthenticated
from svckit.identity import Claims, TokenVerifier
from svckit.revocations import Revocations

_COOKIE = "session"
_MOST_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified access token and whose it is; both empty for a caller who showed nothing."""

    access_token: str = ""
    user_id: str = ""


NOBODY = Caller()


class Callers:
    """Finds out who sends a request. A bearer credential counts before the cookie.

    A signature is checked once and then remembered until its token expires; whether the session was revoked is
    looked up each time, in memory.
    """

    def __init__(self, *, sessions: Sessions, verifier: TokenVerifier, revocations: Revocations) -> None:
        self._sessions = sessions
        self._verifier = verifier
        self._revocations = revocations
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    async def identify(self, request: web.BaseRequest) -> Caller:
        """The request's caller; raises `Unauthenticated` when what was shown is not good."""
        if header := request.headers.get("Authorization"):
            scheme, _, credential = header.partition(" ")
            if scheme.lower() != "bearer" or not credential.strip():
                raise Unauthenticated("the Authorization header must be `Bearer <token>`", reason="TOKEN_INVALID")
            return await self._of_bearer(credential.strip())
        if cookie := request.cookies.get(_COOKIE):
            return await self._exchanged(Credential("session_token", cookie))
        return NOBODY

    async def _of_bearer(self, credential: str) -> Caller:
        # A JWT has two dots (RFC 7515, section 7.1); an API key has none.
        if "." in credential:
            return await self._of_token(credential)
        return await self._exchanged(Credential("api_key", credential))

    async def _exchanged(self, credential: Credential) -> Caller:
        return await self._of_token(await self._sessions.access_token(credential))

    async def _of_token(self, token: str) -> Caller:
        claims = self._verified.get(token)
        if claims is None or self._revocations.contains(claims.session_id) or _expired(claims):
            self._verified.pop(token, None)
            claims = await self._verifier.verify(token)
            self._remember(token, claims)
        return Caller(token, claims.user_id)

    def _remember(self, token: str, claims: Claims) -> None:
        self._verified[token] = claims
        if len(self._verified) > _MOST_REMEMBERED:
            self._verified.popitem(last=False)


def _expired(claims: Claims) -> bool:
    return claims.expires.timestamp() <= time.time()
