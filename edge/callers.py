"""Who sends a request: the access token behind its bearer credential or session cookie."""

from dataclasses import dataclass

from aiohttp import web

from edge.sessions import Credential, Sessions
from svckit.errors import Unauthenticated
from svckit.identity import TokenVerifier

_COOKIE = "session"


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified access token and whose it is; both empty for a caller who showed nothing."""

    access_token: str = ""
    user_id: str = ""


NOBODY = Caller()


class Callers:
    """Finds out who sends a request. A bearer credential counts before the cookie."""

    def __init__(self, *, sessions: Sessions, verifier: TokenVerifier) -> None:
        self._sessions = sessions
        self._verifier = verifier

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
        claims = await self._verifier.verify(token)
        return Caller(token, claims.user_id)
