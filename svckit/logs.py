"""Logs: one line an event, JSON for machines or text for people, with the ids of the work at hand."""

import logging
import re
import sys
from functools import lru_cache
from typing import Literal, TextIO

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, Processor, WrappedLogger

from svckit import identity, telemetry
from svckit.scrubbing import scrubbed

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console"]

# Anchored at the end: `access_token` is a secret, `tokens_in` a number.
_SECRET = re.compile(r"(^|[_-])(password|secret|token|authorization|cookie|api[_-]?key|credential)$", re.IGNORECASE)
_NOT_FOR_PEOPLE = frozenset({"service", "span_id", "trace_id"})
# Libraries whose INFO lines repeat what our own lines say.
_QUIET = ("aiohttp.access", "alembic.runtime.migration", "grpc._cython.cygrpc", "httpx", "httpx2", "stripe")


def configure(
    name: str,
    *,
    level: Level = "info",
    format_: Format = "json",
    stream: TextIO | None = None,
    report: Processor | None = None,
) -> None:
    """Write this process's log, and what its libraries log, to `stream` (standard output), marked as `service=name`.

    `report` sees every line of ours, too.
    """
    stream = stream or sys.stdout
    threshold = logging.getLevelNamesMapping()[level.upper()]
    for_people = format_ == "console"
    time = structlog.processors.TimeStamper(fmt="%H:%M:%S" if for_people else "iso", utc=not for_people, key="time")
    shared: list[Processor] = [structlog.stdlib.add_log_level, time, _context(name), _mask_secrets]
    machine: list[Processor] = [structlog.processors.format_exc_info, _scrub_traceback, _json]
    ends = _ends_for_people(colors=stream.isatty()) if for_people else machine
    structlog.configure(
        processors=[*shared, *([report] if report else []), *ends],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    libraries = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ends]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=libraries))
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.INFO), force=True)
    for library in _QUIET:
        logging.getLogger(library).setLevel(logging.WARNING)


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """One line; pydantic's encoder, because `json.dumps` makes a new one for each line, at twice the price."""
    return to_json(event, fallback=repr).decode()


def _scrub_traceback(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """An exception may quote what it stumbled over."""
    if "exception" in event:
        event["exception"] = scrubbed(event["exception"])
    return event


def _ends_for_people(*, colors: bool) -> list[Processor]:
    """Whoever reads the console knows which process writes to it; the ids stay, to be searched for elsewhere."""

    def leave_out(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: value for key, value in event.items() if key not in _NOT_FOR_PEOPLE and value != ""}

    # Plain tracebacks: those with local variables take seconds, and show secrets.
    formatter = structlog.dev.plain_traceback
    return [
        leave_out,
        structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time", exception_formatter=formatter),
    ]


def _context(name: str) -> Processor:
    """Add which process speaks, and for which request, trace and user."""

    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        trace = telemetry.current()
        found = {
            "service": name,
            "request_id": telemetry.request_id.get(),
            "trace_id": trace.trace_id if trace else "",
            "span_id": trace.span_id if trace else "",
            "user_id": identity.current().user_id,
        }
        for key, value in found.items():
            if value:
                event.setdefault(key, value)
        return event

    return add


def _mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key in event:
        if _is_secret(key):
            event[key] = "***"
    return event


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return _SECRET.search(key) is not None
