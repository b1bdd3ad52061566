"""The HTTP server around a transcoder: one handler, a line for each request, problem documents for what is no HTTP."""

import asyncio
import json
import re
import sys
import traceback
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from edge.transcoder.delivery import delivered
from edge.transcoder.forwarding import Forwarding, call_of
from edge.transcoder.not_http import MOST_HEADER_BYTES, MOST_TARGET_BYTES, not_http
from edge.transcoder.problems import Problem, Refused, problem_response
from edge.transcoder.standalone.arguments import Address
from edge.transcoder.standalone.descriptor_sets import StartError
from edge.transcoder.transcoder import Transcoder

OPENAPI = "/openapi.json"

_CLIENT_GONE = 499
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")


class Handler:
    """Answers one request after the other."""

    def __init__(
        self,
        transcoder: Transcoder,
        forwarding: Forwarding,
        *,
        openapi: bytes | None,
        timeout: float | None,
        access_log: bool,
    ) -> None:
        """`openapi` is the document to serve; `timeout` is the longest that an RPC may take, in seconds."""
        self._transcoder = transcoder
        self._openapi = openapi
        self._forwarding = forwarding
        self._timeout = timeout
        self._access_log = access_log

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        started, status = asyncio.get_running_loop().time(), _CLIENT_GONE
        request_id = _request_id(request)
        try:
            response = await self._answer(request, request_id)
            status = response.status
            return response
        finally:
            if self._access_log:
                _log(request, request_id, status, asyncio.get_running_loop().time() - started)

    async def _answer(self, request: web.BaseRequest, request_id: str) -> web.StreamResponse:
        own_headers = _own_headers(request_id)
        response: web.StreamResponse
        try:
            if self._openapi is not None and _path(request) == OPENAPI and request.method in ("GET", "HEAD"):
                document = web.Response(body=self._openapi, content_type="application/json")
                response = await delivered(request, document)
            else:
                call = call_of(request, self._forwarding, timeout=self._timeout, request_id=request_id)
                metadata = (*call.metadata, ("x-request-id", request_id))
                call = replace(call, metadata=metadata, stream_headers=own_headers)
                response = await self._transcoder.handle(request, call)
        except Refused as refused:
            response = problem_response(refused.problem, instance=_path(request), request_id=request_id)
        if not response.prepared:
            response.headers.update(own_headers)
        return response


def _path(request: web.BaseRequest) -> str:
    """The path as it came, without the query, which may hold what is nobody else's business."""
    return request.raw_path.partition("?")[0]


def _request_id(request: web.BaseRequest) -> str:
    """The id that came with the request, if it is one that can be repeated anywhere; else a new one."""
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _own_headers(request_id: str) -> dict[str, str]:
    """What every answer carries; without a `Server` of ours aiohttp would tell its version, and Python's."""
    return {"X-Request-Id": request_id, "Server": "transcoder"}


@asynccontextmanager
async def listening(handler: Handler, address: Address, *, max_body_bytes: int, grace: float) -> AsyncIterator[str]:
    """Serve HTTP while inside, at the URL that it yields; raises StartError if the address cannot be had.

    At the end, what is being answered has `grace` seconds.
    """
    loop = asyncio.get_running_loop()

    def request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=max_body_bytes)

    server = _Server(handler, request_factory=request, handler_cancellation=True)
    runner = web.ServerRunner(server, shutdown_timeout=grace)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            raise StartError(f"cannot listen on {address}: {error.strerror or error}") from None
        yield f"http://{Address(*runner.addresses[0][:2])}"
    finally:
        await runner.cleanup()


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, max_line_size=MOST_TARGET_BYTES, max_field_size=MOST_HEADER_BYTES)


class _Protocol(RequestHandler):
    """aiohttp's own answers are plain text that repeats what came; these are problem documents that do not."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun when it failed")
        problem = not_http(exc)
        if problem is None:
            problem = Problem(500, "internal", "The transcoder failed; see its stderr.")
            self.log_exception(exc_info=exc)
        request_id = uuid.uuid4().hex
        response = problem_response(problem, request_id=request_id)
        response.headers.update(_own_headers(request_id))
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Called for what goes wrong after an answer too, such as a rest of the body that cannot be read."""
        error = kw.get("exc_info")
        if isinstance(error, BaseException) and not isinstance(error, BadHttpMessage | web.RequestPayloadError):
            traceback.print_exception(error, file=sys.stderr)


def _log(request: web.BaseRequest, request_id: str, status: int, seconds: float) -> None:
    """One line of JSON: it escapes whatever a client may have put into its path."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "method": request.method,
        "path": _path(request),
        "status": status,
        "ms": round(seconds * 1000, 1),
        "requestId": request_id,
    }
    sys.stderr.write(json.dumps(line) + "\n")
