"""What arrives and cannot be read as HTTP: refused as everything else is, and never repeated, in an answer or a log."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import RequestHandler

from edge.transcoder import Problem, problem_response
from svckit import telemetry

log = structlog.get_logger(__name__)

_MOST_TARGET_BYTES = 8 * 1024
_MOST_HEADER_BYTES = 16 * 1024  # of one header; Node's limit
_HEADER_LIMITS = "A header may have 16384 bytes, and a request 128 headers."


class Server(web.Server):
    """aiohttp's low-level server with this file's limits and answers."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        headers: Mapping[str, str],
        request_factory: Callable[..., web.BaseRequest],
    ) -> None:
        """`headers` are on the answers that are made here, as on all others."""
        super().__init__(handler, request_factory=request_factory, handler_cancellation=True)
        self.headers = headers

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, max_line_size=_MOST_TARGET_BYTES, max_field_size=_MOST_HEADER_BYTES)


class _Protocol(RequestHandler):
    """aiohttp's own answers are plain text with the bytes in question, and its log lines hold tracebacks with them."""

    __slots__ = ("_headers",)

    def __init__(self, server: Server, **limits: Any) -> None:
        super().__init__(server, **limits)
        self._headers = server.headers

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused; what else may come here, the application has not caught."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun when it failed")
        problem = _problem(exc)
        request_id = telemetry.accept_request_id("")
        if problem.status < 500:
            log.info("not http", detail=problem.detail, status=problem.status, request_id=request_id)
        else:
            log.error("a request failed in the edge", exc_info=exc, request_id=request_id)
        response = problem_response(problem, request_id=request_id)
        response.headers.update(self._headers, **{"X-Request-Id": request_id})
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Called for what goes wrong after an answer, such as a rest of the body that is no gzip."""
        error = kw.get("exc_info")
        if not isinstance(error, BadHttpMessage | web.RequestPayloadError):
            log.error("a connection failed in the edge", exc_info=error)


def _problem(error: BaseException | None) -> Problem:
    if isinstance(error, LineTooLong):
        if error.args[1] == _MOST_TARGET_BYTES:
            return Problem(414, "uri_too_long", f"The path with its query may have {_MOST_TARGET_BYTES} bytes.")
        return Problem(431, "headers_too_large", _HEADER_LIMITS)
    if not isinstance(error, BadHttpMessage):
        return Problem(500, "internal", "The edge failed; see its log.")
    # The parser's words end where it begins to quote: "Invalid header token:\n\n  b'X : a'".
    reason = error.message.partition(":")[0].partition("\n")[0].rstrip(".")
    if reason == "Too many headers received":
        return Problem(431, "headers_too_large", _HEADER_LIMITS)
    return Problem(400, "malformed_request", f"This is not HTTP/1.1 that can be read: {reason}.")
