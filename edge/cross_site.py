"""Refuses what another site has somebody's browser do (CSRF), by what browsers say of themselves."""

from collections.abc import Set

from aiohttp import web

from edge.transcoder import Problem, Refused

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class CrossSite:
    """The rules of Go's http.CrossOriginProtection: no token, no state.

    They hold for requests without a cookie too: a form on another site must not sign somebody in to its own account.
    """

    def __init__(self, *, own: str, allowed: Set[str]) -> None:
        """`own` is the origin under which people reach the edge, `allowed` those of others that may call it."""
        self._trusted = allowed | {own}

    def refuse(self, request: web.BaseRequest) -> None:
        """Raise Refused unless the request comes from an origin that may, or from no browser."""
        if not _acts(request) or _shows_token(request):
            return
        origin = request.headers.get("Origin", "")
        if origin in self._trusted:
            return
        # All browsers since 2023 send this one, and a page cannot set it.
        site = request.headers.get("Sec-Fetch-Site")
        if site is None:
            if not origin or origin.partition("://")[2] == request.headers.get("Host"):
                return
        elif site in ("same-origin", "none"):
            return
        raise Refused(Problem(403, "cross_site_request", "Another site may not have this done in your name."))


def _acts(request: web.BaseRequest) -> bool:
    """Whether the request can change something: a WebSocket can, though it begins as a GET."""
    return request.method not in _SAFE or "websocket" in request.headers.get("Upgrade", "").lower()


def _shows_token(request: web.BaseRequest) -> bool:
    """Whether it shows what no browser adds by itself; then no cookie counts."""
    return request.headers.get("Authorization", "")[:7].lower() == "bearer "
