"""The table of routes: which one a request means, by method, raw path and Accept."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from multidict import CIMultiDict

from edge.transcoder.descriptors import RuleError
from edge.transcoder.escapes import EscapeError, decode
from edge.transcoder.fields import by_name
from edge.transcoder.framing import EVENTS, JSON, LINES, RAW, Framing, framing
from edge.transcoder.matcher import Matcher
from edge.transcoder.negotiation import preferred
from edge.transcoder.problems import Problem, Refused
from edge.transcoder.routes import Route

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")
_ANYTHING = "*/*"  # what a google.api.HttpBody will be is known only to the service
# Both sides speaking at once is safe only where every hop expects it: many clients and proxies of HTTP/1.1 read an
# answer only after they have sent the whole request.
_UPGRADE = Problem(
    426,
    "upgrade_required",
    "This is served over a WebSocket.",
    (),
    CIMultiDict({"Upgrade": "websocket", "Connection": "Upgrade"}),
)


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request, and the raw parts of its URL.

    `framing` is how a streaming RPC is to be written. `by_accept`: another Accept header would have led elsewhere.
    `websocket`: the request is a WebSocket's handshake, and the RPC is to be served over it.
    """

    route: Route
    segments: Sequence[str]
    query: str
    framing: Framing | None = None
    by_accept: bool = False
    websocket: bool = False


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """What one method and template serve: routes by the content type that they answer with, the preferred first."""

    routes: dict[str, tuple[Route, Framing | None]]


class Router:
    """Matches requests. Two routes may share a method and template only if one is unary and the other streams."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Raises RuleError for two routes that no request could tell apart."""
        self._matcher: Matcher[_Endpoint] = Matcher()
        for route in routes:
            self._add(route)

    def match(self, method: str, raw_path: str, accept: str = "", *, websocket: bool = False) -> Match:
        """Find the route of a request; raises Refused with 404, 405, 406 or 426.

        `websocket` says that the request is a handshake, which counts only where an RPC streams.
        """
        path, _, query = _origin_form(raw_path).partition("?")
        if "%" in path or not path.isascii():
            _check_escapes(path)
        if websocket and (streaming := self._streaming(path, query)):
            return streaming
        found = self._matcher.find(method, path)
        if found is None:
            raise self._unmatched(path)
        routes = found.target.routes
        wanted = preferred(accept, tuple(routes)) or (_ANYTHING if _ANYTHING in routes else None)
        if wanted is None:
            raise Refused(Problem(406, "not_acceptable", f"This is served as {', '.join(routes)}."))
        route, framed = routes[wanted]
        if route.streams_requests and (route.streaming or not route.body):
            raise Refused(_UPGRADE)
        return Match(route, found.segments, query, framed, len(routes) > 1)

    def _streaming(self, path: str, query: str) -> Match | None:
        """What a handshake at the path opens: an RPC that streams, that of GET before those whose rule has a body."""
        for method in ("GET", *sorted(self._matcher.allowed(path) - {"GET"})):
            found = self._matcher.find(method, path)
            if found is None:
                continue
            for route, _ in found.target.routes.values():
                if _fits_websocket(route) and (route.body or method == "GET"):
                    return Match(route, found.segments, query, _framing(LINES, route), websocket=True)
        return None

    def _allowed(self, path: str) -> list[str]:
        """The HTTP methods that a path serves, for `Allow` and for preflights; empty if there is no such path."""
        methods = self._matcher.allowed(path)
        if not methods:
            return []
        if "*" in methods:
            methods |= {"GET", "POST", "PUT", "PATCH", "DELETE"}
        return sorted((methods - {"*"}) | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))

    def _unmatched(self, path: str) -> Refused:
        allowed = self._allowed(path)
        if not allowed:
            return Refused(Problem(404, "not_found", "There is no such path."))
        headers = CIMultiDict({"Allow": ", ".join(allowed)})
        return Refused(Problem(405, "method_not_allowed", f"This path serves {headers['Allow']}.", (), headers))

    def _add(self, route: Route) -> None:
        methods = self._matcher.methods(route.template)
        endpoint = methods.get(route.http_method)
        if endpoint is None:
            methods[route.http_method] = _Endpoint(_offers(route))
            return
        present = [other for other, _ in endpoint.routes.values()]
        if len({other.streaming for other in [*present, route]}) != len({*present, route}):
            where = f"{route.http_method} {route.template.text}"
            raise RuleError(route.rpc, f"{where} is taken by {present[0].rpc} ({present[0].template.text})")
        methods[route.http_method] = _Endpoint(_shared(route, present[0]))


def _offers(route: Route) -> dict[str, tuple[Route, Framing | None]]:
    if not route.streaming:
        return {_ANYTHING if route.raw_reply else JSON: (route, None)}
    if route.raw_reply:
        return {_ANYTHING: (route, RAW)}
    return {content_type: (route, _framing(content_type, route)) for content_type in (JSON, EVENTS, LINES)}


def _framing(content_type: str, route: Route) -> Framing:
    has_error_field = not route.response_body and "error" in by_name(route.method.output)
    return framing(content_type, has_error_field=has_error_field, numbered=route.print_event is not None)


def _fits_websocket(route: Route) -> bool:
    return (route.streaming or route.streams_requests) and not (route.raw_reply or route.raw_request)


def _shared(one: Route, other: Route) -> dict[str, tuple[Route, Framing | None]]:
    """A unary and a streaming route in one place: plain JSON is the unary one's."""
    unary, stream = (other, one) if one.streaming else (one, other)
    return {**_offers(stream), **_offers(unary)}


def _origin_form(target: str) -> str:
    """The request target without scheme and host, which a client of a proxy may send (RFC 9112, section 3.2.2)."""
    if target.startswith("/"):
        return target
    found = _ABSOLUTE.match(target)
    rest = target[found.end() :] if found else ""
    return rest if rest.startswith("/") else f"/{rest}"  # the path may be empty, also before a query


def _check_escapes(path: str) -> None:
    """Refuse what cannot be decoded wherever it stands, not only where a variable would bind it."""
    try:
        decode(path)
    except EscapeError as error:
        raise Refused(Problem(400, "malformed_url", f"{error}.")) from None
