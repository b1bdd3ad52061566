"""One request from its head to its log line: who calls, which RPC, how long it may take."""

import re
from collections.abc import Mapping

import structlog
from aiohttp import web
from chatmesh.access.v1 import access_pb2
from multidict import CIMultiDict

from edge.callers import Caller
from edge.limits import Admission
from edge.observe import CLIENT_GONE, Observation, is_recorded
from edge.openai_errors import openai_error
from edge.pages import Page
from edge.policies import Policies
from edge.transcoder import (
    Call,
    Forwarding,
    Match,
    Problem,
    Refused,
    Transcoder,
    WriteProblem,
    is_handshake,
    problem_of,
    problem_response,
    timeout_of,
)
from svckit import identity, telemetry
from svckit.errors import ServiceError
from svckit.identity import ServiceCredential
from svckit.rpc.call import Rpc
from svckit.rpc.status import status_of
from svckit.telemetry import Kind

log = structlog.get_logger(__name__)

_INVISIBLE = re.compile(r"[^\x20-\x7e]")
# Passed on to services as they came; everything else about a caller is made here, never taken over.
_FORWARDING = Forwarding(("Idempotency-Key", "Last-Event-ID"))
_WRITERS: Mapping[access_pb2.ErrorFormat.ValueType, WriteProblem] = {
    access_pb2.ERROR_FORMAT_UNSPECIFIED: problem_response,
    access_pb2.ERROR_FORMAT_OPENAI: openai_error,
}
# What auth has a browser bring back from an OpenID Connect provider; sent by it to those paths only.
_OIDC_COOKIE, _OIDC_KEY = "oidc", "x-cookie-oidc"


class Requests:
    """The edge's one request handler: no middleware, one call after the other."""

    def __init__(
        self,
        *,
        transcoder: Transcoder,
        pages: Mapping[tuple[str, str], Page],
        rpcs: Mapping[str, Rpc],
        admission: Admission,
        credential: ServiceCredential,
        policies: Policies,
    ) -> None:
        self._transcoder = transcoder
        self._pages = pages
        self._rpcs = rpcs
        self._admission = admission
        self._credential = credential
        self.policies = policies

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve a request; whatever goes wrong becomes a problem document and one log line."""
        request_id = telemetry.accept_request_id(request.headers.get("X-Request-Id", ""))
        telemetry.request_id.set(request_id)
        status = CLIENT_GONE  # unless an answer is made
        with telemetry.span(
            request.method,
            parent=request.headers.get("traceparent", ""),
            kind=Kind.SERVER,
            recorded=is_recorded(request.path),
        ) as span:
            seen = Observation(request.method, span)
            try:
                response = await self._answer(request, request_id, seen)
                status = response.status
                return response
            finally:
                seen.end(status, request)

    async def _answer(self, request: web.BaseRequest, request_id: str, seen: Observation) -> web.StreamResponse:
        # Whatever is answered, a stream or an error, carries these.
        headers = {**self.policies.headers, "X-Request-Id": request_id, **self.policies.cors.headers(request)}
        try:
            response = await self._route(request, request_id, headers, seen)
        except Refused as refused:
            response = _problem(refused.problem, request, request_id)
        except ServiceError as error:
            response = _problem(_problem_of(error), request, request_id)
        except web.HTTPRequestEntityTooLarge:
            most = f"The body may have {request.client_max_size} bytes."
            response = _problem(Problem(413, "body_too_large", most), request, request_id)
        except ConnectionError:
            raise
        except Exception:
            log.exception("a request failed in the edge")
            response = _problem(Problem(500, "internal", "The edge failed; see its log."), request, request_id)
        if not response.prepared:
            _add(headers, response)
        return response

    async def _route(
        self, request: web.BaseRequest, request_id: str, headers: dict[str, str], seen: Observation
    ) -> web.StreamResponse:
        """What a request goes through, in this order: whose it is, what for, from which site, within which limit."""
        address = self.policies.addresses.of(request)
        page = self._pages.get((request.method, request.path))
        if page is not None:
            seen.route = request.path
            await self._admission.page(request.path, address, headers)
            return await page(request)
        try:
            accept = ", ".join(request.headers.getall("Accept", ()))
            match = self._transcoder.match(request.method, request.raw_path, accept, websocket=is_handshake(request))
        except Refused as refused:
            return await self._unmatched(request, refused.problem, address, headers)
        seen.route = match.route.template.text
        rpc = self._rpcs[match.route.path]
        try:
            return await self._serve(match, rpc, request, request_id, headers, seen)
        except (Refused, ServiceError) as error:
            problem = error.problem if isinstance(error, Refused) else _problem_of(error)
            return _WRITERS[rpc.error_format](problem, instance=request.path, request_id=request_id)

    async def _serve(
        self,
        match: Match,
        rpc: Rpc,
        request: web.BaseRequest,
        request_id: str,
        headers: dict[str, str],
        seen: Observation,
    ) -> web.StreamResponse:
        address = self.policies.addresses.of(request)
        self.policies.cross_site.refuse(request)
        caller = await self._admission.caller(request, rpc, address, headers)
        seen.user_id = caller.user_id
        call = Call(
            metadata=self._metadata(request, request_id, address, caller),
            timeout=timeout_of(request.headers, rpc.timeout),
            request_id=request_id,
            stream_headers=headers,
            refuse=_WRITERS[rpc.error_format],
        )
        return await self._transcoder.serve(match, request, call)

    async def _unmatched(
        self, request: web.BaseRequest, problem: Problem, address: str, headers: dict[str, str]
    ) -> web.Response:
        """Answer OPTIONS, or refuse what no RPC and no page serves."""
        problem = self._with_methods(request.path, problem)
        methods = problem.headers.get("Allow")
        if request.method != "OPTIONS" or methods is None:
            await self._admission.stray(address, headers)
            raise Refused(problem) from None
        preflight = self.policies.cors.preflight(request, methods=methods)
        return web.Response(status=204, headers={"Allow": methods, **preflight})

    def _with_methods(self, path: str, problem: Problem) -> Problem:
        """The refusal of a request that no RPC serves: for one to a page, which methods would be right."""
        methods = {method for method, page in self._pages if page == path}
        if problem.status != 404 or not methods:
            return problem
        allow = ", ".join(sorted(methods | {"OPTIONS"}))
        return Problem(405, "method_not_allowed", f"This path serves {allow}.", (), CIMultiDict({"Allow": allow}))

    def _metadata(
        self, request: web.BaseRequest, request_id: str, address: str, caller: Caller
    ) -> list[tuple[str, str | bytes]]:
        """All that a service hears of the HTTP request. Nothing about identity is taken over from outside."""
        metadata: list[tuple[str, str | bytes]] = [
            (telemetry.REQUEST_ID_KEY, request_id),
            (telemetry.TRACEPARENT_KEY, telemetry.outgoing()),
            (identity.SERVICE_AUTHORIZATION_KEY, f"Bearer {self._credential.token()}"),
            ("x-client-ip", address),
            ("x-client-user-agent", _visible(request.headers.get("User-Agent", ""))),
        ]
        if caller.access_token:
            metadata.append((identity.AUTHORIZATION_KEY, f"Bearer {caller.access_token}"))
        if cookie := request.cookies.get(_OIDC_COOKIE):
            metadata.append((_OIDC_KEY, _visible(cookie)))
        metadata += _FORWARDING.metadata(request.headers)
        return metadata


def _add(headers: Mapping[str, str], response: web.StreamResponse) -> None:
    """Add to an answer what it does not say itself; an answer that may depend on several headers varies by all."""
    for name, value in headers.items():
        if name == "Vary":
            response.headers.add(name, value)
        else:
            response.headers.setdefault(name, value)
    # What is asked for with a cookie is nobody else's, and a copy must be compared before it is used.
    response.headers.setdefault("Cache-Control", "no-store" if response.status >= 400 else "private, no-cache")


def _visible(value: str) -> str:
    """A header's value as metadata may carry it: visible ASCII, 256 characters at most."""
    return _INVISIBLE.sub("?", value[:256])


def _problem(problem: Problem, request: web.BaseRequest, request_id: str) -> web.Response:
    return problem_response(problem, instance=request.path, request_id=request_id)


def _problem_of(error: ServiceError) -> Problem:
    """An error of ours, or one that a service answered to a question of ours, as a service's own error would look."""
    status = status_of(error)
    return problem_of(status.code, status.message, status.SerializeToString())
