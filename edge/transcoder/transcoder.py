"""The transcoder's face: match a request to a route, then serve it through an upstream."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDict

from edge.transcoder.bodies import Body
from edge.transcoder.descriptors import registry_of, rules_of
from edge.transcoder.escapes import Unescape
from edge.transcoder.framing import Framing
from edge.transcoder.json_codec import CODEC_ERRORS, JsonCodec
from edge.transcoder.metadata import RESPONSE_HEADERS, headers_of, status_of
from edge.transcoder.problems import Problem, Refused, document_bytes, problem_of, problem_response
from edge.transcoder.router import Match, Router
from edge.transcoder.routes import Route, compile_route
from edge.transcoder.streaming import StreamWriter
from edge.transcoder.upstream import Metadata, Upstream, UpstreamError

_BODILESS = frozenset({204, 205, 304})  # RFC 9110, section 6.4.1


@dataclass(frozen=True, slots=True)
class Options:
    """How a transcoder reads and answers.

    `ignore_unknown` drops unknown fields and parameters; `emit_defaults` prints fields without presence even if they
    are unset. `grace` and `heartbeat` are seconds: how long an event stream waits for its first message before it
    sends its headers, and how often it says that it is alive. `patience` is how many seconds a request's body may take
    to come. `response_headers`: metadata key to header name.
    """

    unescape: Unescape = Unescape.ALL_EXCEPT_SLASH
    ignore_unknown: bool = False
    emit_defaults: bool = False
    grace: float = 1.0
    heartbeat: float = 15.0
    patience: float = 120.0
    response_headers: Mapping[str, str] = field(default_factory=lambda: RESPONSE_HEADERS)


@dataclass(frozen=True, slots=True)
class Call:
    """What the application adds to a call: metadata for the service, a timeout in seconds, the request's id.

    `stream_headers` are sent with a streamed response, whose headers leave before `serve` returns.
    """

    metadata: Metadata = ()
    timeout: float | None = None
    request_id: str = ""
    stream_headers: Mapping[str, str] = field(default_factory=dict)


class Transcoder:
    """Serves the `google.api.http` annotations of a descriptor set through an upstream.

    Its server must run with `handler_cancellation=True`: a client that goes away then cancels the RPC.
    """

    def __init__(self, descriptors: bytes, upstream: Upstream, options: Options | None = None) -> None:
        """`descriptors` is a serialized FileDescriptorSet with its imports.

        Raises RuleError, which names the RPC and the reason, for an annotation that cannot be served.
        """
        self._options = options or Options()
        self._upstream = upstream
        self.registry = registry_of(descriptors)
        codec = JsonCodec(
            self.registry,
            ignore_unknown=self._options.ignore_unknown,
            emit_defaults=self._options.emit_defaults,
        )
        self.routes: Sequence[Route] = tuple(
            compile_route(rule, codec, unescape=self._options.unescape, ignore_unknown=self._options.ignore_unknown)
            for rule in rules_of(self.registry)
        )
        self._router = Router(self.routes)

    def match(self, method: str, raw_path: str, accept: str = "") -> Match:
        """Find the route of a request; raises Refused with 404, 405, 406 or 501.

        `raw_path` is the request target as it came, query included; `accept` is the Accept header.
        """
        return self._router.match(method, raw_path, accept)

    async def handle(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """Match and serve a request in one go, OPTIONS included."""
        try:
            accept = ", ".join(request.headers.getall("Accept", ()))
            match = self.match(request.method, request.raw_path, accept)
        except Refused as refused:
            if request.method == "OPTIONS" and refused.problem.status == 405:
                return web.Response(status=204, headers=refused.problem.headers)
            return problem_response(refused.problem, instance=_path(request), request_id=call.request_id)
        return await self.serve(match, request, call)

    async def serve(self, match: Match, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """Call the matched RPC and answer with its reply, or with a problem document.

        Raises ConnectionError if the client goes away while its stream is being written.
        """
        try:
            message = await _message(match, request, patience=self._options.patience)
            if match.framing is None:
                return await self._unary(match.route, message, call)
            return await self._stream(match.route, match.framing, message, request, call)
        except Refused as refused:
            return problem_response(refused.problem, instance=_path(request), request_id=call.request_id)

    async def _unary(self, route: Route, message: bytes, call: Call) -> web.Response:
        try:
            reply = await self._upstream.unary(route.path, message, metadata=call.metadata, timeout=call.timeout)
        except UpstreamError as error:
            raise self._refused(error) from None
        status, headers = self._declared((*reply.initial_metadata, *reply.trailing_metadata))
        if status in _BODILESS:
            return web.Response(status=status, headers=headers)
        body = _print(route, reply.body)
        headers["Content-Type"] = body.content_type
        return web.Response(status=status, body=body.data, headers=headers)

    async def _stream(
        self, route: Route, framing: Framing, message: bytes, request: web.BaseRequest, call: Call
    ) -> web.StreamResponse:
        writer = StreamWriter(request, framing, call.stream_headers)
        if request.method == "HEAD":
            return writer.response
        try:
            await self._copy(route, message, writer, call)
        except UpstreamError as error:
            if not writer.started:
                raise self._refused(error) from None
            problem = problem_of(error.code, error.message, error.details)
        except Refused as refused:
            if not writer.started:
                raise
            problem = refused.problem
        else:
            await writer.end()
            return writer.response
        await writer.fail(document_bytes(problem, instance=_path(request), request_id=call.request_id))
        return writer.response

    async def _copy(self, route: Route, message: bytes, writer: StreamWriter, call: Call) -> None:
        """Write the messages of one RPC as they come."""
        options = self._options
        async with (
            self._upstream.stream(route.path, message, metadata=call.metadata, timeout=call.timeout) as replies,
            writer.kept_alive(grace=options.grace, heartbeat=options.heartbeat),
        ):
            batch = await replies.read()
            writer.declare(*self._declared(replies.initial_metadata))
            while batch:
                await writer.messages([_print(route, data).data for data in batch])
                batch = await replies.read()

    def _declared(self, metadata: Metadata) -> tuple[int, CIMultiDict[str]]:
        """The status and headers that the service declared."""
        return status_of(metadata), headers_of(metadata, self._options.response_headers)

    def _refused(self, error: UpstreamError) -> Refused:
        problem = problem_of(error.code, error.message, error.details)
        problem.headers.extend(headers_of(error.metadata, self._options.response_headers))
        return Refused(problem)


async def _message(match: Match, request: web.BaseRequest, *, patience: float) -> bytes:
    """The request message that a request is; raises Refused."""
    route, body, content_type = match.route, b"", ""
    if route.bind.reads_body and request.body_exists:
        body = await _body(request, patience=patience)
        content_type = request.headers.get("Content-Type", "")
    return route.bind(match.segments, match.query, body, content_type)


async def _body(request: web.BaseRequest, *, patience: float) -> bytes:
    """The whole body. One that is announced as too large is refused before it is sent."""
    too_large = Problem(413, "body_too_large", f"The body may have {request.client_max_size} bytes.")
    if request.content_length and request.content_length > request.client_max_size > 0:
        raise Refused(too_large)
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # this was no part of the response
    try:
        async with asyncio.timeout(patience):
            return await request.read()
    except TimeoutError:
        raise Refused(Problem(408, "body_too_slow", f"The body must come within {patience:g} seconds.")) from None
    except web.HTTPRequestEntityTooLarge:
        raise Refused(too_large) from None
    except web.RequestPayloadError:
        raise Refused(Problem(400, "malformed_body", "The body could not be read to its end.")) from None


def _path(request: web.BaseRequest) -> str:
    """The path as it came: the decoded one need not be text."""
    return request.raw_path.partition("?")[0]


def _print(route: Route, data: bytes) -> Body:
    try:
        return route.print_body(data)
    except CODEC_ERRORS:
        raise Refused(Problem(500, "internal", "The service sent a reply that cannot be shown as JSON.")) from None
