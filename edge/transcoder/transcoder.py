"""The transcoder's face: match a request to a route, then serve it through an upstream."""

from collections.abc import Sequence

from aiohttp import web

from edge.transcoder.answers import answer, refused_by
from edge.transcoder.delivery import delivered
from edge.transcoder.descriptors import grpc_path, registry_of, required_of, rules_of
from edge.transcoder.json_codec import JsonCodec
from edge.transcoder.metadata import refuse_own
from edge.transcoder.options import Call, Options
from edge.transcoder.problems import Problem, Refused, problem_response
from edge.transcoder.reading import read_message
from edge.transcoder.request_streams import sent
from edge.transcoder.required import Required
from edge.transcoder.router import Match, Router
from edge.transcoder.routes import Route, compile_route
from edge.transcoder.statuses import problem_of
from edge.transcoder.stream_answers import StreamAnswers
from edge.transcoder.upstream import Reply, Upstream, UpstreamError
from edge.transcoder.websocket import WebSockets, is_handshake


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
            nulls=self._options.nulls,
        )
        required = Required(required_of(descriptors))
        self.routes: Sequence[Route] = tuple(
            compile_route(
                rule,
                codec,
                required,
                unescape=self._options.unescape,
                ignore_unknown=self._options.ignore_unknown or grpc_path(rule.method) in self._options.open_queries,
                event_id=self._options.event_id,
            )
            for rule in rules_of(self.registry)
        )
        self._router = Router(self.routes)
        self._streams = StreamAnswers(upstream, self._options, self._problem)
        self._sockets = WebSockets(upstream, self._options, self._problem)

    def match(self, method: str, raw_path: str, accept: str = "", *, websocket: bool = False) -> Match:
        """Find the route of a request; raises Refused with 404, 405, 406 or 426.

        `raw_path` is the request target as it came, query included; `accept` is the Accept header. `websocket`: the
        request is a handshake (`is_handshake`).
        """
        return self._router.match(method, raw_path, accept, websocket=websocket)

    async def handle(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """Match and serve a request in one go, OPTIONS included."""
        try:
            accept = ", ".join(request.headers.getall("Accept", ()))
            match = self.match(request.method, request.raw_path, accept, websocket=is_handshake(request))
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
            if match.websocket:
                return await self._sockets.serve(match, request, call)
            if match.framing is not None:
                message = await read_message(match, request, patience=self._options.patience)
                return await self._streams.serve(match, message, request, call)
            response = await self._unary(match, request, call)
        except Refused as refused:
            response = call.refuse(refused.problem, instance=_path(request), request_id=call.request_id)
        if match.by_accept:
            response.headers.add("Vary", "Accept")
        return await delivered(request, response, compress=self._options.compression)

    async def close(self) -> None:
        """Tell the clients of all open WebSockets that the server goes away; their RPCs are cancelled."""
        await self._sockets.close()

    async def _unary(self, match: Match, request: web.BaseRequest, call: Call) -> web.Response:
        """One reply, to one request or to a stream of them."""
        allowed = self._options.response_headers
        try:
            call_rpc = self._sent if match.route.streams_requests else self._asked
            reply = await call_rpc(match, request, call)
        except UpstreamError as error:
            raise refused_by(error, self._problem(error), allowed=allowed) from None
        return answer(match.route, reply, allowed=allowed)

    async def _asked(self, match: Match, request: web.BaseRequest, call: Call) -> Reply:
        message = await read_message(match, request, patience=self._options.patience)
        return await self._upstream.unary(match.route.path, message, metadata=call.metadata, timeout=call.timeout)

    async def _sent(self, match: Match, request: web.BaseRequest, call: Call) -> Reply:
        async with sent(match, request, patience=self._options.patience) as requests:
            return await self._upstream.client_stream(
                match.route.path, requests, metadata=call.metadata, timeout=call.timeout
            )

    def _problem(self, error: UpstreamError) -> Problem:
        return problem_of(error.code, error.message, error.details, self.registry)


def _path(request: web.BaseRequest) -> str:
    """The path as it came: the decoded one need not be text."""
    return request.raw_path.partition("?")[0]
