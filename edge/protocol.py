"""What arrives and cannot be read as HTTP, or comes or goes too slowly: refused as everything else is.

Its bytes are never repeated, in an answer or a log.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web_protocol import RequestHandler

from edge.connections import Connections, ended
from edge.transcoder import Problem, problem_response
from edge.transcoder.not_http import MOST_HEADER_BYTES, MOST_TARGET_BYTES, not_http
from edge.transcoder.problems import CONTENT_TYPE, document_bytes
from svckit import telemetry

log = structlog.get_logger(__name__)

# Of a head that is not whole yet: 128 headers of 16 kB each would be too much to keep for everybody.
_MOST_HEAD_BYTES = 64 * 1024
_HEAD_TOO_LARGE = Problem(431, "headers_too_large", "A request's head may have 65536 bytes.")
_TOO_MANY = Problem(503, "too_many_connections", "There are too many connections, or too many from your address.")


class Server(web.Server):
    """aiohttp's low-level server with this file's limits and answers."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        headers: Mapping[str, str],
        connections: Connections,
        request_factory: Callable[..., web.BaseRequest],
    ) -> None:
        """`headers` are on the answers that are made here, as on all others."""
        super().__init__(handler, request_factory=request_factory, handler_cancellation=True)
        self.headers = headers
        self.open = connections

    def __call__(self) -> RequestHandler:
        return _Protocol(
            self,
            loop=self._loop,
            max_line_size=MOST_TARGET_BYTES,
            max_field_size=MOST_HEADER_BYTES,
            keepalive_timeout=self.open.limits.idle,
        )


class _Protocol(RequestHandler):
    """One connection, which ends when its client is too slow.

    aiohttp's own answers are plain text with the bytes in question, and its log lines hold tracebacks with them.
    """

    __slots__ = ("_head_began", "_head_bytes", "_headers", "_open", "_unsent", "_unsent_since", "_wire")

    def __init__(self, server: Server, **limits: Any) -> None:
        super().__init__(server, **limits)
        self._headers = server.headers
        self._open = server.open
        self._head_began = 0.0  # when the first byte of a head came whose end has not; 0 if there is none
        self._head_bytes = 0  # that have come of it
        self._unsent = math.inf  # bytes that the client has left to wait since `_unsent_since`
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if self._open.admit(self, peer[0] if isinstance(peer, tuple) else ""):
            super().connection_made(transport)
        else:
            self._end_with(_TOO_MANY)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._head_began and self._idle and data.strip():  # old clients end a body with an empty line
            self._head_began, self._head_bytes = self._loop.time(), 0
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._head_began = 0.0
        elif self._head_began:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES and not self._wire.is_closing():
                ended("large_head")
                self._end_with(_HEAD_TOO_LARGE)

    @property
    def _idle(self) -> bool:
        """Whether it waits for a request; for the first one from the start, before aiohttp begins to wait."""
        return not self._request_count or (self._waiter is not None and not self._waiter.done())

    def look(self, now: float) -> None:
        """See `connections.Watched`."""
        limits = self._open.limits
        if self._head_began and self._idle and now - self._head_began > limits.head:
            ended("slow_head")
            self._end_with(Problem(408, "head_too_slow", f"The head must come within {limits.head:g} seconds."))
        elif self._stalled_for(now) > limits.stall:
            ended("slow_reader")
            self._wire.abort()  # which cancels the request, and with it the RPC

    def _stalled_for(self, now: float) -> float:
        """For how many seconds the client has taken nothing of what waits for it.

        While writing is paused, nothing is added to that: if it does not become less, the client takes nothing.
        """
        if not self.writing_paused and not self._wire.is_closing():
            self._unsent = math.inf
            return 0.0
        unsent = self._wire.get_write_buffer_size()
        if unsent < self._unsent:
            self._unsent, self._unsent_since = unsent, now
        return now - self._unsent_since

    def _end_with(self, problem: Problem) -> None:
        """Close the connection with an answer to a request that is not there."""
        body = document_bytes(problem)
        own = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
        fields = "".join(f"{name}: {value}\r\n" for name, value in {**self._headers, **own}.items())
        head = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n{fields}\r\n"
        self._wire.write(head.encode() + body)
        self.force_close()
        self._wire.close()

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
        problem = not_http(exc) or Problem(500, "internal", "The edge failed; see its log.")
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
