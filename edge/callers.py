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

    def known(self, request: web.BaseRequest) -> Caller | None:
        """The caller, if nobody must be asked and nothing computed to know; None if `identify` must find out."""
        try:
            shown = _shown(request)
        except Unauthenticated:
            return None
        if not shown:
            return NOBODY
        token = self._sessions.known(shown) if isinstance(shown, Credential) else shown
        claims = self._verifier.known(token) if token else None
        return Caller(token, claims.user_id) if token and claims else None

    async def identify(self, request: web.BaseRequest) -> Caller:
        """The request's caller; raises `Unauthenticated` when what was shown is not good."""
        shown = _shown(request)
        if not shown:
            return NOBODY
        token = await self._sessions.access_token(shown) if isinstance(shown, Credential) else shown
        claims = await self._verifier.verify(token)
        return Caller(token, claims.user_id)


def _shown(request: web.BaseRequest) -> Credential | str:
    """What a request shows: a credential to be exchanged, an access token, or nothing (empty)."""
    if header := request.headers.get("Authorization"):
        scheme, _, bearer = header.partition(" ")
        bearer = bearer.strip()
        if scheme.lower() != "bearer" or not bearer:
            raise Unauthenticated("the Authorization header must be `Bearer <token>`", reason="TOKEN_INVALID")
        # A JWT has two dots (RFC 7515, section 7.1); an API key has none.
        return bearer if "." in bearer else Credential("api_key", bearer)
    cookie = request.cookies.get(_COOKIE)
    return Credential("session_token", cookie) if cookie else ""
