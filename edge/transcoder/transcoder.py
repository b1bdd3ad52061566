"""The transcoder's face: match a request to a route, then serve it through an upstream."""

from collections.abc import Sequence

from aiohttp import web

from edge.transcoder.answers import answer, print_body
from edge.transcoder.delivery import delivered
from edge.transcoder.descriptors import registry_of, required_of, rules_of
from edge.transcoder.framing import Framing
from edge.transcoder.json_codec import JsonCodec
from edge.transcoder.metadata import error_headers_of, refuse_own, status_of, stream_headers_of
from edge.transcoder.options import Call, Options
from edge.transcoder.problems import Problem, Refused, document_bytes, problem_response
from edge.transcoder.reading import read_message
from edge.transcoder.required import Required
from edge.transcoder.router import Match, Router
from edge.transcoder.routes import Route, compile_route
from edge.transcoder.statuses import problem_of
from edge.transcoder.streaming import StreamWriter
from edge.transcoder.upstream import Upstream, UpstreamError


class Transcoder:
    """Serves the `google.api.http` annotations of a descriptor set through an upstream.

    Its server must run with `handler_cancellation=True`: a client that goes away then cancels the RPC.
    """

    def __init__(self, descriptors: bytes, upstream: Upstream, options: Options | None = None) -> None:
        """`descriptors` is a serialized FileDescriptorSet with its imports.

        Raises RuleError, which names the RPC and the reason, for an annotation that cannot be served, and ValueError
        for a response header that no service may declare.
        """
        self._options = options or Options()
        refuse_own(self._options.response_headers.values())
        self._upstream = upstream
        self.registry = registry_of(descriptors)
        codec = JsonCodec(
            self.registry,
            ignore_unknown=self._options.ignore_unknown,
            emit_defaults=self._options.emit_defaults,
        )
        required = Required(required_of(descriptors))
        self.routes: Sequence[Route] = tuple(
            compile_route(
                rule,
                codec,
                required,
                unescape=self._options.unescape,
                ignore_unknown=self._options.ignore_unknown,
            )
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
            message = await read_message(match, request, patience=self._options.patience)
            if match.framing is not None:
                return await self._stream(match.route, match.framing, message, request, call)
            response = await self._unary(match.route, message, call)
        except Refused as refused:
            response = problem_response(refused.problem, instance=_path(request), request_id=call.request_id)
        if match.by_accept:
            response.headers.add("Vary", "Accept")
        return await delivered(request, response, compress=self._options.compression)

    async def _unary(self, route: Route, message: bytes, call: Call) -> web.Response:
        try:
            reply = await self._upstream.unary(route.path, message, metadata=call.metadata, timeout=call.timeout)
        except UpstreamError as error:
            raise self._refused(error) from None
        return answer(route, reply, allowed=self._options.response_headers)

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
            problem = self._problem(error)
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
            declared = replies.initial_metadata
            headers = stream_headers_of(declared, options.response_headers)
            writer.declare(status_of(declared, has_body=True), headers)
            while batch:
                await writer.messages([print_body(route, data).data for data in batch])
                batch = await replies.read()

    def _refused(self, error: UpstreamError) -> Refused:
        problem = self._problem(error)
        problem.headers.update(error_headers_of(error.metadata, self._options.response_headers))
        return Refused(problem)

    def _problem(self, error: UpstreamError) -> Problem:
        return problem_of(error.code, error.message, error.details, self.registry)


def _path(request: web.BaseRequest) -> str:
    """The path as it came: the decoded one need not be text."""
    return request.raw_path.partition("?")[0]
