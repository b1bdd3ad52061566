"""One call to a database: its span, below whatever asks for it, and its measurement; the same for all of them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from prometheus_client import Counter, Histogram

from svckit import telemetry
from svckit.telemetry import Recording

_DURATION = Histogram(
    "db_client_operation_duration_seconds",
    "Calls to PostgreSQL, Redis and ClickHouse: from the call to its answer or its error.",
    ["db_system_name", "db_operation_name"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
_ERRORS = Counter(
    "db_client_operation_errors_total",
    "Calls that ended with an error; one that was cancelled is none.",
    ["db_system_name", "db_operation_name"],
)
_MOST_CHARACTERS = 2000  # of a statement; more of it tells nobody more


@dataclass(slots=True)
class DbCall:
    """A call that has begun, for its caller to end."""

    system: str
    operation: str
    recording: Recording | None
    began: float

    def end(self, error: BaseException | None = None) -> None:
        """It has been answered, or failed with that error."""
        _duration(self.system, self.operation).observe(time.perf_counter() - self.began)
        ours = isinstance(error, Exception)
        if ours:
            _ERRORS.labels(self.system, self.operation).inc()
        if self.recording is None:
            return
        if error is not None:
            self.recording.fail(type(error).__qualname__, ours=ours)
        self.recording.end()


def begin(system: str, operation: str, *, target: str = "", text: str = "") -> DbCall:
    """Begin a call: `operation` is one of few words, `target` what it is about, `text` the statement without values."""
    recording = telemetry.begin(f"{operation} {target}".rstrip())
    if recording is not None:
        recording.note(
            {
                "db.system.name": system,
                "db.operation.name": operation,
                "db.collection.name": target,
                "db.query.text": text[:_MOST_CHARACTERS],
            }
        )
    return DbCall(system, operation, recording, time.perf_counter())


@contextmanager
def observed(
    system: str, operation: str, *, target: str = "", text: str = "", expected: type[Exception] | tuple[()] = ()
) -> Iterator[None]:
    """The block is one call; see `begin`. An error that is `expected` is an answer like any other."""
    call = begin(system, operation, target=target, text=text)
    try:
        yield
    except BaseException as error:
        call.end(None if isinstance(error, expected) else error)
        raise
    call.end()


@cache
def _duration(system: str, operation: str) -> Histogram:
    return _DURATION.labels(system, operation)
