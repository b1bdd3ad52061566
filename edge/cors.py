"""Cross-origin resource sharing: which front ends of other origins may call, and read what is answered."""

from collections.abc import Mapping, Set
from types import MappingProxyType

from aiohttp import web

_ALLOWED_HEADERS = ", ".join(
    (
        "Accept",
        "Authorization",
        "Content-Type",
        "Grpc-Timeout",
        "Idempotency-Key",
        "If-Match",
        "If-None-Match",
        "Last-Event-ID",
        "traceparent",
        "tracestate",
        "X-Request-Id",
        "X-Request-Timeout",
    )
)
_EXPOSED_HEADERS = ", ".join(
    (
        "Content-Disposition",
        "ETag",
        "Location",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "Retry-After",
        "X-Request-Id",
    )
)
_MAX_AGE = "7200"  # seconds; the longest that browsers remember a preflight
_NONE: Mapping[str, str] = MappingProxyType({})


class Cors:
    """Knows the origins that may. Cookies count for them, so there is no `*`; all others get no header at all."""

    def __init__(self, origins: Set[str]) -> None:
        # Also for an origin that may not: a cache must not give its answer to one that may.
        self._others: Mapping[str, str] = {"Vary": "Origin"} if origins else {}
        self._of: Mapping[str, Mapping[str, str]] = {origin: {**self._others, **_answer(origin)} for origin in origins}

    def headers(self, request: web.BaseRequest) -> Mapping[str, str]:
        """What every answer to the request carries, errors and streams too: else a page cannot see what went wrong."""
        return self._of.get(request.headers.get("Origin", ""), self._others)

    def preflight(self, request: web.BaseRequest, *, methods: str) -> Mapping[str, str]:
        """What the answer to OPTIONS carries besides, for a path that serves `methods`."""
        if request.headers.get("Origin") not in self._of or "Access-Control-Request-Method" not in request.headers:
            return _NONE
        return {
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": _MAX_AGE,
        }


def _answer(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": _EXPOSED_HEADERS,
    }
