"""A body that is a stream of requests: one JSON message a line, or a google.api.HttpBody in chunks."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from aiohttp import web

from edge.transcoder.problems import Problem, Refused
from edge.transcoder.reading import invite, refuse_announced, refuse_coded, too_large
from edge.transcoder.router import Match

Bytes = AsyncGenerator[bytes, None]


@asynccontextmanager
async def sent(match: Match, request: web.BaseRequest, *, patience: float) -> AsyncIterator[Bytes]:
    """The wire bytes of each request message, read only as fast as they are asked for; raises Refused.

    Each part of the body may take `patience` seconds to come, and the service as many to take it: the end of a
    connection that is not read is not seen. Path and query are bound to every line, so that no later one can speak of
    something else than the URL; of a file only the first chunk tells more than its bytes.
    """
    url = match.route.bind.url(match.segments, match.query)
    chunks = _chunks(request, patience=patience)
    if match.route.raw_request:
        refuse_announced(request)
        messages = _file(match, request, chunks, url)
    else:
        messages = _lines(match, request, chunks, url)
    try:
        async with (
            asyncio.timeout(None) as limit,
            aclosing(messages),
            aclosing(_taken(messages, limit, patience)) as taken,
        ):
            yield taken
    except TimeoutError:
        detail = f"The service has taken nothing of the body for {patience:g} seconds."
        raise Refused(Problem(504, "deadline_exceeded", detail)) from None


async def _taken(messages: Bytes, limit: asyncio.Timeout, patience: float) -> Bytes:
    """The messages; the limit runs while one waits to be taken."""
    async for message in messages:
        limit.reschedule(asyncio.get_running_loop().time() + patience)
        yield message
        limit.reschedule(None)


async def _lines(match: Match, request: web.BaseRequest, chunks: Bytes, url: bytes) -> Bytes:
    """A message for each line that is not blank. A line may be as long as another request's whole body."""
    limit, number, rest = request.client_max_size, 0, bytearray()
    async with aclosing(chunks):
        async for chunk in chunks:
            rest += chunk
            if b"\n" in chunk:
                *lines, last = rest.split(b"\n")
                rest = last
                for line in lines:
                    number += 1
                    _refuse_large(line, number, limit)
                    if line.strip():
                        yield bound(match, bytes(line), f"Line {number}", url)
            _refuse_large(rest, number + 1, limit)
        if rest.strip():
            yield bound(match, bytes(rest), f"Line {number + 1}", url)


def bound(match: Match, text: bytes, place: str, url: bytes) -> bytes:
    """The wire bytes of one message of a stream, with what the URL says; raises Refused, which names the place."""
    bind = match.route.bind
    try:
        return bind.whole(bind.body(text, "") + url)
    except Refused as refused:
        problem = refused.problem
        raise Refused(replace(problem, detail=f"{place}: {problem.detail}")) from None


def _refuse_large(line: bytearray, number: int, limit: int) -> None:
    if len(line) > limit > 0:
        raise Refused(Problem(413, "body_too_large", f"Line {number}: a line may have {limit} bytes."))


async def _file(match: Match, request: web.BaseRequest, chunks: Bytes, url: bytes) -> Bytes:
    """A message for each chunk; the first one has the content type and what the URL says."""
    bind, size = match.route.bind, 0
    first = bind.whole(bind.body(b"", request.headers.get("Content-Type", "")) + url)
    async with aclosing(chunks):
        async for chunk in chunks:
            size += len(chunk)
            if size > request.client_max_size > 0:
                raise too_large(request)
            yield first + bind.body(chunk, "")
            first = b""
    if not size:
        yield first


async def _chunks(request: web.BaseRequest, *, patience: float) -> Bytes:
    """The body as it arrives."""
    refuse_coded(request)
    await invite(request)
    while True:
        try:
            async with asyncio.timeout(patience):
                chunk = await request.content.readany()
        except TimeoutError:
            detail = f"The next part of the body must come within {patience:g} seconds."
            raise Refused(Problem(408, "body_too_slow", detail)) from None
        except web.RequestPayloadError:
            raise Refused(Problem(400, "malformed_body", "The body could not be read to its end.")) from None
        if not chunk:
            return
        yield chunk
