"""What the edge says of each request: one log line, one observation in `/metrics`."""

import time
from dataclasses import dataclass, field

import structlog
from prometheus_client import Histogram

_DURATION = Histogram(
    "http_server_request_duration_seconds",
    "From the request's head to the last byte of its answer.",
    ("http_request_method", "http_route", "http_response_status_code"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
# Labels are bounded: routes come from the contracts, methods from this list.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNROUTED = "unrouted"
_ASKED_ALL_THE_TIME = frozenset({"/livez", "/readyz", "/metrics"})  # by machines, every few seconds

log = structlog.get_logger("edge.access")


@dataclass(slots=True)
class Observation:
    """One request while it is being served; `route` and `user_id` are filled in as they become known."""

    method: str
    route: str = UNROUTED
    user_id: str = ""
    began: float = field(default_factory=time.perf_counter)

    def end(self, status: int) -> None:
        """Write the log line and count; 499 stands for a client that went away, as in nginx."""
        seconds = time.perf_counter() - self.began
        _child(self.method if self.method in _METHODS else "_OTHER", self.route, status).observe(seconds)
        milliseconds = round(seconds * 1000, 2)
        say = log.warning if status >= 500 else log.debug if self.route in _ASKED_ALL_THE_TIME else log.info
        say("request", method=self.method, route=self.route, status=status, ms=milliseconds, user_id=self.user_id)


_children: dict[tuple[str, str, int], Histogram] = {}


def _child(method: str, route: str, status: int) -> Histogram:
    """The labelled child, found once: `labels()` would cost more than the observation."""
    key = (method, route, status)
    if (child := _children.get(key)) is None:
        child = _children[key] = _DURATION.labels(method, route, str(status))
    return child
