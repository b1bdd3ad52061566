"""An HTTP request to the message that it is: its body read within limits, then bound with query and path."""

import asyncio

from aiohttp import web
from multidict import CIMultiDict

from edge.transcoder.problems import Problem, Refused
from edge.transcoder.router import Match

_CODINGS = ("identity", "gzip", "deflate", "br", "zstd")


async def read_message(match: Match, request: web.BaseRequest, *, patience: float) -> bytes:
    """The wire bytes of the request message; raises Refused. The body may take `patience` seconds to come."""
    route, body, content_type = match.route, b"", ""
    if route.bind.reads_body and request.body_exists:
        body = await read_body(request, patience=patience)
        content_type = request.headers.get("Content-Type", "")
    return route.bind(match.segments, match.query, body, content_type)


async def read_body(request: web.BaseRequest, *, patience: float) -> bytes:
    """The whole body. One that is announced as too large is refused before it is sent."""
    refuse_announced(request)
    refuse_coded(request)
    await invite(request)
    try:
        async with asyncio.timeout(patience):
            return await request.read()
    except TimeoutError:
        raise Refused(Problem(408, "body_too_slow", f"The body must come within {patience:g} seconds.")) from None
    except web.HTTPRequestEntityTooLarge:
        raise too_large(request) from None
    except web.RequestPayloadError:
        raise Refused(Problem(400, "malformed_body", "The body could not be read to its end.")) from None


def refuse_announced(request: web.BaseRequest) -> None:
    """Raise Refused for a body that is said to be too large."""
    if request.content_length and request.content_length > request.client_max_size > 0:
        raise too_large(request)


def refuse_coded(request: web.BaseRequest) -> None:
    """Raise Refused for a body in a content coding that aiohttp has not undone."""
    coding = request.headers.get("Content-Encoding", "").strip().lower()
    if coding and coding not in _CODINGS:
        headers = CIMultiDict({"Accept-Encoding": ", ".join(_CODINGS)})  # RFC 9110, section 15.5.16
        detail = f"A body may come as {', '.join(_CODINGS)}."
        raise Refused(Problem(415, "unsupported_content_coding", detail, (), headers))


def too_large(request: web.BaseRequest) -> Refused:
    return Refused(Problem(413, "body_too_large", f"The body may have {request.client_max_size} bytes."))


async def invite(request: web.BaseRequest) -> None:
    """Ask for the body, if the client waits to be asked."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # this was no part of the response
