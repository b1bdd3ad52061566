"""One RPC over one WebSocket: a JSON text frame for each message, both ways."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import cast

from aiohttp import WSMsgType, web
from multidict import CIMultiDict

from edge.transcoder.answers import print_body
from edge.transcoder.inbox import Inbox
from edge.transcoder.options import Call, Options
from edge.transcoder.problems import Problem, Refused, document_bytes
from edge.transcoder.request_streams import bound
from edge.transcoder.router import Match
from edge.transcoder.upstream import ReplyStream, Upstream

_MOST_REASON_BYTES = 123  # RFC 6455, section 5.5
_PARTING_SECONDS = 5.0  # for the last frames, and for the client's own close frame


class ClientLeft(Exception):
    """The client has closed the WebSocket, has broken its protocol, or is silent."""


class Session:
    """One RPC over one WebSocket.

    A client ends its side of a stream of requests with an empty text frame, which no JSON is. What it sends waits in
    the inbox; while that is full, the connection is not read.
    """

    def __init__(
        self, match: Match, request: web.BaseRequest, call: Call, *, upstream: Upstream, options: Options
    ) -> None:
        self._match = match
        self._route = match.route
        self._request = request
        self._call = call
        self._upstream = upstream
        self._options = options
        self._url = b""
        self._inbox = Inbox()
        self._may_send = match.route.streams_requests or bool(match.route.body)
        self._listening = False
        self._heard = False
        # Compression costs each connection windows of memory, and shows secrets by their length (BREACH).
        self.response = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=request.client_max_size, decode_text=False
        )

    async def open(self) -> None:
        """Bind what the URL says, and answer the handshake; raises Refused."""
        self._url = self._route.bind.url(self._match.segments, self._match.query)
        if self._request.headers.get("Sec-WebSocket-Version", "") != "13":
            headers = CIMultiDict({"Sec-WebSocket-Version": "13", "Upgrade": "websocket", "Connection": "Upgrade"})
            detail = "This speaks version 13 of the WebSocket protocol."
            raise Refused(Problem(426, "upgrade_required", detail, (), headers))
        self.response.headers.update(self._call.stream_headers)
        try:
            await self.response.prepare(self._request)
        except web.HTTPBadRequest:
            detail = "The Sec-WebSocket-Key must be 16 bytes in base64."
            raise Refused(Problem(400, "malformed_handshake", detail)) from None

    async def run(self) -> None:
        """Serve the RPC until it ends or the client leaves; raises a group of UpstreamError, Refused or ClientLeft."""
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(self._listen()), tasks.create_task(self._beat())]
            await self._answer()
            for helper in helpers:
                helper.cancel()

    async def fail(self, problem: Problem, code: int) -> None:
        """Send a frame that is no message, as NDJSON ends a stream, and close. The reason is the problem's code."""
        framing, path = self._match.framing, self._request.raw_path.partition("?")[0]
        document = document_bytes(problem, instance=path, request_id=self._call.request_id)
        assert framing is not None
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_PARTING_SECONDS):
                await self._send((framing.error_before + document + framing.error_after).rstrip())
        await self.close(code, problem.code)

    async def close(self, code: int, reason: str) -> None:
        """Close it; a client that does not play its part in time is cut off."""
        try:
            async with asyncio.timeout(_PARTING_SECONDS):
                await self.response.close(code=code, message=reason.encode()[:_MOST_REASON_BYTES])
        except (TimeoutError, ConnectionError):
            self._cut()

    async def _answer(self) -> None:
        """Send what the service answers."""
        if self._route.streams_requests and not self._route.streaming:
            async with aclosing(self._inbox.requests()) as requests:
                reply = await self._upstream.client_stream(
                    self._route.path, requests, metadata=self._call.metadata, timeout=self._call.timeout
                )
            await self._send(print_body(self._route, reply.body).data)
            return
        async with self._replies() as replies:
            while batch := await replies.read():
                for data in batch:
                    await self._send(print_body(self._route, data).data)

    @asynccontextmanager
    async def _replies(self) -> AsyncIterator[ReplyStream]:
        path, metadata, timeout = self._route.path, self._call.metadata, self._call.timeout
        if self._route.streams_requests:
            async with (
                aclosing(self._inbox.requests()) as requests,
                self._upstream.bidi_stream(path, requests, metadata=metadata, timeout=timeout) as replies,
            ):
                yield replies
        else:
            message = await self._only_message()
            async with self._upstream.stream(path, message, metadata=metadata, timeout=timeout) as replies:
                yield replies

    async def _only_message(self) -> bytes:
        """The request of an RPC that takes one: its first frame is the body, if the rule has one."""
        if not self._route.body:
            return self._route.bind.whole(self._url)
        try:
            async with asyncio.timeout(self._options.patience), aclosing(self._inbox.requests()) as requests:
                return await anext(requests, None) or self._route.bind.whole(self._url)
        except TimeoutError:
            detail = f"The first message must come within {self._options.patience:g} seconds."
            raise Refused(Problem(408, "message_too_slow", detail)) from None

    async def _listen(self) -> None:
        """Put what the client sends into the inbox, until it leaves."""
        number = 0
        while True:
            frame = await self._frame()
            if frame and not self._may_send:
                raise Refused(Problem(400, "unexpected_message", "This RPC takes no more messages."))
            if frame:
                number += 1
                await self._inbox.put(bound(self._match, frame, f"Message {number}", self._url))
                self._may_send = self._route.streams_requests
                if self._inbox.is_full:
                    with self._deaf():
                        await self._inbox.room()
            elif self._may_send:
                self._may_send = False
                await self._inbox.end()

    async def _frame(self) -> bytes:
        """The next text frame; raises ClientLeft."""
        while True:
            self._listening = True
            message = await self.response.receive()
            self._listening, self._heard = False, True
            if message.type is WSMsgType.TEXT:
                return cast(bytes, message.data)
            if message.type is WSMsgType.BINARY:
                raise Refused(Problem(400, "binary_frame", "Messages are JSON in text frames."))
            if message.type is WSMsgType.PING:
                with self._deaf():
                    await self.response.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                raise ClientLeft

    @contextmanager
    def _deaf(self) -> Iterator[None]:
        """While inside, nothing is read: what arrives would be kept in memory, and empty frames count for nothing."""
        self._request.protocol.pause_reading()
        try:
            yield
        finally:
            self._request.protocol.resume_reading()

    async def _beat(self) -> None:
        """Ping; a client that says nothing until the next time is gone, unless it is we who do not listen."""
        while True:
            self._heard = False
            try:
                async with asyncio.timeout(self._options.heartbeat):
                    await self.response.ping()
            except TimeoutError:
                break  # it does not read either
            await asyncio.sleep(self._options.heartbeat)
            if self._listening and not self._heard:
                break
        self._cut()
        raise ClientLeft

    async def _send(self, message: bytes) -> None:
        await self.response.send_frame(message, WSMsgType.TEXT)

    def _cut(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()
