"""What the edge says of each request: one log line, one observation in `/metrics`, one span."""

import time
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from prometheus_client import Histogram

from edge.console.traces import PATH, RECEIVER
from svckit import telemetry
from svckit.telemetry import Span

_DURATION = Histogram(
    "http_server_request_duration_seconds",
    "From the request's head to the last byte of its answer.",
    ("http_request_method", "http_route", "http_response_status_code"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
# Labels are bounded: routes come from the contracts, methods from this list.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNROUTED = "unrouted"
CLIENT_GONE = 499  # a client that went away before its answer was whole, as in nginx
_ASKED_ALL_THE_TIME = frozenset({"/livez", "/readyz", "/metrics", RECEIVER})  # by machines, every few seconds

log = structlog.get_logger("edge.access")


def is_recorded(path: str) -> bool:
    """Whether a request for that path has a span: not the page that shows spans, nor what machines ask for."""
    return path != PATH and not is_for_machines(path)


def is_for_machines(path: str) -> bool:
    """Whether nobody wants to read about a request for that path, because there is another one every few seconds."""
    return path in _ASKED_ALL_THE_TIME


@dataclass(slots=True)
class Observation:
    """One request while it is being served; `route` and `user_id` are filled in as they become known."""

    method: str
    span: Span
    route: str = UNROUTED
    user_id: str = ""
    began: float = field(default_factory=time.perf_counter)

    def end(self, status: int, request: web.BaseRequest) -> None:
        """Write the log line, count, and say in the span how it went."""
        seconds = time.perf_counter() - self.began
        method = self.method if self.method in _METHODS else "_OTHER"
        _child(method, self.route, status).observe(seconds)
        milliseconds = round(seconds * 1000, 2)
        say = log.warning if status >= 500 else log.debug if is_for_machines(self.route) else log.info
        say("request", method=self.method, route=self.route, status=status, ms=milliseconds, user_id=self.user_id)
        if self.span.recording is not None:
            self._describe(method, status, request)

    def _describe(self, method: str, status: int, request: web.BaseRequest) -> None:
        """By the conventions for HTTP servers. The query is left out: it may hold what somebody searches for."""
        self.span.rename(f"{method} {self.route}")
        self.span.note(
            {
                "http.request.method": method,
                "http.route": "" if self.route == UNROUTED else self.route,
                "http.response.status_code": status,
                "url.scheme": request.scheme,
                "url.path": request.path,
                "network.protocol.version": f"{request.version.major}.{request.version.minor}",
                "user_agent.original": request.headers.get("User-Agent", ""),
                "chatmesh.request_id": telemetry.request_id.get(),
                "user.id": self.user_id,
            }
        )
        if status == CLIENT_GONE:
            self.span.fail("client_disconnected", ours=False)
        elif status >= 500:
            self.span.fail(str(status))


_children: dict[tuple[str, str, int], Histogram] = {}


def _child(method: str, route: str, status: int) -> Histogram:
    """The labelled child, found once: `labels()` would cost more than the observation."""
    key = (method, route, status)
    if (child := _children.get(key)) is None:
        child = _children[key] = _DURATION.labels(method, route, str(status))
    return child
