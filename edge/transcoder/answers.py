"""The answer to a unary RPC: what the service said, as one HTTP response."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from aiohttp import web

from edge.transcoder.bodies import Body
from edge.transcoder.framing import EVENTS
from edge.transcoder.json_codec import CODEC_ERRORS
from edge.transcoder.metadata import error_headers_of, error_status_of, headers_of, status_of
from edge.transcoder.problems import Problem, Refused
from edge.transcoder.routes import Route
from edge.transcoder.upstream import Reply, UpstreamError

T = TypeVar("T")

_BODILESS = frozenset({204, 205, 304})  # RFC 9110, section 6.4.1


def answer(route: Route, reply: Reply, *, allowed: Mapping[str, str]) -> web.Response:
    """The response that a reply is; `allowed` maps metadata keys to header names. Raises Refused."""
    metadata = (*reply.initial_metadata, *reply.trailing_metadata)
    status, headers = status_of(metadata), headers_of(metadata, allowed)
    if status in _BODILESS:
        return web.Response(status=status, headers=headers)
    body = print_body(route, reply.body)
    headers["Content-Type"] = body.content_type
    return web.Response(status=status, body=body.data, headers=headers)


def print_body(route: Route, data: bytes) -> Body:
    """One message of a reply as a body; raises Refused if JSON cannot say it."""
    return _printed(route.print_body, data)


def message_printer(route: Route, content_type: str) -> Callable[[bytes], bytes]:
    """The function that prints a message of a stream of that type; raises Refused if JSON cannot say it."""
    if route.print_event is not None and content_type == EVENTS:
        return partial(_printed, route.print_event)
    return lambda data: print_body(route, data).data


def _printed(print_message: Callable[[bytes], T], data: bytes) -> T:
    try:
        return print_message(data)
    except CODEC_ERRORS:
        raise Refused(Problem(500, "internal", "The service sent a reply that cannot be shown as JSON.")) from None


def refused_by(error: UpstreamError, problem: Problem, *, allowed: Mapping[str, str]) -> Refused:
    """The refusal that an RPC's error is: its problem, with the status and headers that the service declared."""
    problem.headers.update(error_headers_of(error.metadata, allowed))
    return Refused(replace(problem, status=error_status_of(error.metadata, problem.status)))
