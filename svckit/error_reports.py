"""Error tracking: what is logged with a traceback goes to Sentry, or to whatever speaks its protocol.

A report has the traceback without local variables, and the ids of the log line. Nothing of a request, no breadcrumbs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

import sentry_sdk
from structlog.typing import EventDict, WrappedLogger

from svckit.scrubbing import scrubbed
from svckit.settings import SettingsError

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_FLUSH_SECONDS = 2.0  # whoever receives the last reports may be away
_TAGS = ("service", "method", "request_id", "trace_id", "loop", "consumer")


@contextmanager
def reporting(dsn: str, *, name: str, environment: str) -> Iterator[None]:
    """Report what goes wrong in the block, as the process called `name`. Raises SettingsError for a wrong DSN."""
    try:
        sentry_sdk.init(
            dsn,
            server_name=name,
            environment=environment,
            release=f"chatmesh@{version('chatmesh')}",
            default_integrations=False,
            auto_enabling_integrations=False,
            send_default_pii=False,
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            send_client_reports=False,
            auto_session_tracking=False,
            before_send=_scrub,
        )
    except sentry_sdk.utils.BadDsn as error:
        raise SettingsError([f"SENTRY_DSN: {error}"]) from None
    try:
        yield
    finally:
        sentry_sdk.get_client().close(timeout=_FLUSH_SECONDS)


def report(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Send a log line's exception; what a `structlog` processor is."""
    error = event.get("exc_info")
    if isinstance(error, BaseException) or error is True:
        with sentry_sdk.new_scope() as scope:
            scope.set_tags({key: str(event[key]) for key in _TAGS if key in event})
            scope.set_extra("event", event.get("event"))
            sentry_sdk.capture_exception(None if error is True else error)
    return event


def _scrub(report: "Event", _hint: "Hint") -> "Event":
    for error in report.get("exception", {}).get("values", ()):
        error["value"] = scrubbed(str(error.get("value") or ""))
    report.pop("request", None)
    report.pop("user", None)
    return report
