"""The answer to a server-streaming RPC over plain HTTP: each message is written when it comes."""

from collections.abc import Callable

from aiohttp import web

from edge.transcoder.answers import message_printer, print_body, refused_by
from edge.transcoder.metadata import status_of, stream_headers_of
from edge.transcoder.options import Call, Options
from edge.transcoder.problems import Problem, Refused, document_bytes
from edge.transcoder.router import Match
from edge.transcoder.routes import Route
from edge.transcoder.streaming import StreamWriter
from edge.transcoder.upstream import Upstream, UpstreamError


class StreamAnswers:
    """Answers to server-streaming RPCs of one upstream."""

    def __init__(self, upstream: Upstream, options: Options, problem: Callable[[UpstreamError], Problem]) -> None:
        self._upstream = upstream
        self._options = options
        self._problem = problem

    async def serve(self, match: Match, message: bytes, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """Call the RPC and write its messages.

        Raises Refused for what goes wrong before the response has begun; what does later is said in the stream.
        """
        assert match.framing is not None
        writer = StreamWriter(request, match.framing, call.stream_headers)
        text_of = message_printer(match.route, match.framing.content_type)
        if request.method == "HEAD":
            return writer.response
        try:
            await self._copy(match.route, message, writer, call, text_of)
        except UpstreamError as error:
            problem = self._problem(error)
            if not writer.started:
                raise refused_by(error, problem, allowed=self._options.response_headers) from None
        except Refused as refused:
            problem = refused.problem
            if not writer.started:
                raise
        else:
            await writer.end()
            return writer.response
        path = request.raw_path.partition("?")[0]
        await writer.fail(document_bytes(problem, instance=path, request_id=call.request_id))
        return writer.response

    async def _copy(
        self, route: Route, message: bytes, writer: StreamWriter, call: Call, text_of: Callable[[bytes], bytes]
    ) -> None:
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
            if route.raw_reply and batch:
                writer.declare_type(print_body(route, batch[0]).content_type)
            while batch:
                await writer.messages([text_of(data) for data in batch])
                batch = await replies.read()
