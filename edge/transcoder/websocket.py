"""RPCs over WebSockets (RFC 6455): which requests ask for one, and how each of them ends."""

import asyncio
from collections.abc import Callable

from aiohttp import WSCloseCode, web

from edge.transcoder.options import Call, Options
from edge.transcoder.problems import Problem, Refused
from edge.transcoder.router import Match
from edge.transcoder.upstream import Upstream, UpstreamError
from edge.transcoder.websocket_session import ClientLeft, Session

_GRPC = 4000  # RFC 6455 leaves the codes from here on to applications: this and the number of the gRPC status
_INVALID_ARGUMENT = _GRPC + 3
_CLOSE_CODES = {
    "malformed_json": WSCloseCode.INVALID_TEXT,
    "binary_frame": WSCloseCode.UNSUPPORTED_DATA,
    "unexpected_message": WSCloseCode.POLICY_VIOLATION,
    "message_too_slow": WSCloseCode.POLICY_VIOLATION,
    "internal": WSCloseCode.INTERNAL_ERROR,
}


def is_handshake(request: web.BaseRequest) -> bool:
    """Whether a request asks to become a WebSocket."""
    if request.method != "GET" or request.headers.get("Upgrade", "").strip().lower() != "websocket":
        return False
    options = ",".join(request.headers.getall("Connection", ())).lower().split(",")
    return "upgrade" in [option.strip() for option in options]


class WebSockets:
    """All open WebSockets of one transcoder."""

    def __init__(self, upstream: Upstream, options: Options, problem: Callable[[UpstreamError], Problem]) -> None:
        self._upstream = upstream
        self._options = options
        self._problem = problem
        self._open: set[Session] = set()

    async def serve(self, match: Match, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """Answer a handshake and serve its RPC to the end.

        Raises Refused for what goes wrong before the handshake is answered; what does later is said in a frame.
        """
        session = Session(match, request, call, upstream=self._upstream, options=self._options)
        await session.open()
        self._open.add(session)
        try:
            await self._run(session)
        finally:
            self._open.discard(session)
        return session.response

    async def close(self) -> None:
        """Tell all clients that the server goes away."""
        await asyncio.gather(*(session.close(WSCloseCode.GOING_AWAY, "going_away") for session in self._open))

    async def _run(self, session: Session) -> None:
        failures: list[Exception] = []
        try:
            await session.run()
        except* (UpstreamError, Refused, ClientLeft, ConnectionError) as group:
            failures += group.exceptions
        if failures and isinstance(failures[0], UpstreamError):
            await session.fail(self._problem(failures[0]), _GRPC + failures[0].code)
        elif failures and isinstance(failures[0], Refused):
            problem = failures[0].problem
            await session.fail(problem, _CLOSE_CODES.get(problem.code, _INVALID_ARGUMENT))
        elif not failures:
            await session.close(WSCloseCode.OK, "")
