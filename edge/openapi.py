"""What the product's OpenAPI document says beyond its contracts: who may call, which limits hold, what is no RPC."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from importlib.metadata import version
from typing import Any

from chatmesh.access.v1 import access_pb2
from chatmesh.access.v1.access_pb2 import ERROR_FORMAT_OPENAI

from edge import webhooks
from edge.openai_errors import OPENAI_ERROR
from edge.transcoder import Route
from edge.transcoder.openapi import About, Example, document, problem, reference
from svckit.rpc.call import Rpc

Members = Mapping[str, Any]

_WHO = {
    access_pb2.LEVEL_USER: "a signed-in user",
    access_pb2.LEVEL_ANALYST: "an analyst or an administrator",
    access_pb2.LEVEL_ADMIN: "an administrator",
    access_pb2.LEVEL_SERVICE: "a process of the mesh",
}
_DESCRIPTION = """\
Accounts, conversations with language models, subscriptions, and the figures of a chat product.

**Signing in.** `POST /api/auth/signin` answers tokens and sets the `session` cookie. A browser needs nothing else: once
you have signed in on this page, every *Try it out* is yours. Programs send `Authorization: Bearer …` with the access
token or with an API key.

**JSON.** Names are camelCase; 64-bit integers are text; a time is RFC 3339 in UTC. In a request, a field
that holds its type's zero value may be left out, `null` means that it is; in an answer, `null` says that there is no
value. A field or parameter that does not exist is refused, and so is one that is given twice. NaN and infinite numbers
are the texts `NaN`, `Infinity` and `-Infinity`.

**Errors** are problem documents (RFC 9457). Programs act on `code`, people read `detail`; `errors` names fields, and
`requestId` finds the request in the logs.

**Streams.** A route that streams answers Server-Sent Events, one JSON document a line, or a JSON array, as
`Accept` asks, and speaks over a WebSocket as well.

**Time.** A request has a deadline, 15 seconds where nothing else is said; `X-Request-Timeout` (seconds, `1.5`) or
`Grpc-Timeout` (`1500m`) shortens it.

**Limits.** Answers say in `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` where the client stands. Over
the limit, the answer is a `429` with `Retry-After`.

**Tracing.** `X-Request-Id`, as it was sent or else made here, is in every answer and in the logs of every service. The
trace of `traceparent` goes on in them.
"""
_COUNT = {"type": "integer", "minimum": 0}
_COMPONENTS: Mapping[str, Members] = {
    "securitySchemes": {
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "session",
            "description": "The cookie that `POST /api/auth/signin` sets.",
        },
        "bearer": {"type": "http", "scheme": "bearer", "description": "An access token, or an API key."},
    },
    "headers": {
        "Retry-After": {"description": "Seconds before which there is no use in trying again.", "schema": _COUNT},
        "RateLimit-Limit": {"description": "How many such requests the client may send in a minute.", "schema": _COUNT},
        "RateLimit-Remaining": {"description": "How many of them are left now.", "schema": _COUNT},
        "RateLimit-Reset": {"description": "Seconds after which all of them are back.", "schema": _COUNT},
    },
    "parameters": {
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Instead of `idempotencyKey` in the body: a repeat with the same key has no further effect.",
            "schema": {"type": "string"},
        }
    },
    "schemas": {"OpenAIError": OPENAI_ERROR},
    "responses": {
        "Unauthenticated": problem(
            "Nobody is signed in, or what was shown is no good (any more).", 401, "unauthenticated"
        ),
        "CrossSite": problem("Another site may not have this done in somebody's name.", 403, "cross_site_request"),
        "TooSlow": problem("The body did not come in time.", 408, "body_too_slow"),
        "TooLarge": problem(
            "The body is larger than this server takes; `detail` says what it does.", 413, "body_too_large"
        ),
        "TooMany": problem(
            "Too many requests: `Retry-After` says for how many seconds to wait.",
            429,
            "rate_limited",
            headers=("Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
        ),
    },
}
_PAGES = "Pages"
# The option of messages whose unset fields are null.
NULLS = access_pb2.DESCRIPTOR.extensions_by_name["unset_is_null"].full_name
_TAGS = [
    *({"name": name} for name in ("AuthService", "ChatService", "BillingService", "AnalyticsService")),
    {"name": _PAGES, "description": "What the edge says of itself, and what comes from outside."},
]


def api_document(descriptors: bytes, routes: Sequence[Route], rpcs: Mapping[str, Rpc]) -> bytes:
    """The document of all that the edge serves, as JSON. `rpcs` are by their gRPC path."""
    about = About(
        title="chatmesh",
        version=version("chatmesh"),
        description=_DESCRIPTION,
        components=_COMPONENTS,
        paths=_pages(),
        tags=_TAGS,
        amend=lambda route: _members(route, rpcs[route.path]),
        examples=examples(),
        nulls=NULLS,
    )
    made: dict[str, Any] = json.loads(document(descriptors, routes, about))
    in_openais_shape = {rpc.name.replace("/", ".") for rpc in rpcs.values() if rpc.error_format == ERROR_FORMAT_OPENAI}
    for operation in (each for path in made["paths"].values() for each in path.values()):
        if not in_openais_shape.isdisjoint(operation.get("x-rpc", ())):
            _show_openais_errors(operation["responses"], made["components"]["responses"])
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


def _show_openais_errors(responses: dict[str, Members], components: Mapping[str, Members]) -> None:
    """Show the errors of an operation as OpenAI's API would send them; a 406 comes before it is known which one."""
    for status, response in responses.items():
        if status >= "4" and status != "406":
            shown = components[response["$ref"].rpartition("/")[2]] if "$ref" in response else response
            content = {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}
            responses[status] = {"description": shown["description"], "content": content}


def examples() -> dict[str, Example]:
    """The examples by the full name of their RPC, as `edge/examples.json` has them."""
    text = (resources.files("edge") / "examples.json").read_text(encoding="utf-8")
    return {rpc: Example(**members) for rpc, members in json.loads(text).items()}


def _members(route: Route, rpc: Rpc) -> Members:
    who = _WHO.get(rpc.level)
    members: dict[str, Any] = {
        "security": [{"session": []}, {"bearer": []}] if who else [],
        "responses": dict(_responses(route, rpc)),
    }
    if who:
        members["description"] = f"Who may call: {who}."
    if not route.streams_requests and any(field.name == "idempotency_key" for field in route.method.input.fields):
        members["parameters"] = [reference("IdempotencyKey", kind="parameters")]
    return members


def _responses(route: Route, rpc: Rpc) -> Iterator[tuple[str, Members]]:
    yield "429", reference("TooMany")
    if route.body:
        yield "408", reference("TooSlow")
        yield "413", reference("TooLarge")
    if rpc.level != access_pb2.LEVEL_PUBLIC:
        yield "401", reference("Unauthenticated")
    if rpc.level not in (access_pb2.LEVEL_PUBLIC, access_pb2.LEVEL_USER):
        yield "403", problem(f"Only {_WHO[rpc.level]} may do this.", 403, "permission_denied")
    elif route.http_method != "GET":
        yield "403", reference("CrossSite")


def _pages() -> Mapping[str, Members]:
    """The paths that are no RPC."""
    page = {"type": "string"}
    health = {"application/json": {"schema": {"type": "object"}}}
    return {
        "/": _get("index", "Says what this is", {"200": ("Name, version and links.", health)}),
        "/health": _get(
            "health",
            "Answers how the edge and every service are",
            {"200": ("All are up.", health), "503": ("At least one is not; the body says which.", health)},
        ),
        "/livez": _get(
            "live", "Answers while the process lives", {"200": ("Alive.", {"text/plain": {"schema": page}})}
        ),
        "/readyz": _get(
            "ready", "Answers while requests are taken", {"200": ("Ready.", {"text/plain": {"schema": page}})}
        ),
        "/metrics": _get(
            "metrics", "Measurements, for Prometheus", {"200": ("Text.", {"text/plain": {"schema": page}})}
        ),
        "/openapi.json": _get("openapi", "This document", {"200": ("OpenAPI 3.1.", health)}),
        "/docs": _get("docs", "This document, for people", {"200": ("A page.", {"text/html": {"schema": page}})}),
        webhooks.PATH: {"post": _webhook()},
    }


def _get(id: str, summary: str, responses: Mapping[str, tuple[str, Members]]) -> Members:
    return {
        "get": {
            "operationId": f"Edge_{id}",
            "tags": [_PAGES],
            "summary": summary,
            "description": f"{summary}. Not an RPC.",
            "security": [],
            "responses": {
                status: {"description": description, "content": content}
                for status, (description, content) in responses.items()
            },
        }
    }


def _webhook() -> Members:
    signature = {
        "name": "Stripe-Signature",
        "in": "header",
        "required": True,
        "description": "Stripe's signature over the bytes of the body.",
        "schema": {"type": "string"},
    }
    done = {
        "description": "Taken; applied afterwards.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    return {
        "operationId": "Edge_stripe",
        "tags": [_PAGES],
        "summary": "Takes an event from Stripe",
        "description": "Takes an event from Stripe. The body goes on byte for byte: the signature is over the bytes.",
        "security": [],
        "parameters": [signature],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {
            "200": done,
            "400": problem("The signature is missing, forged or too old.", 400, "signature_invalid"),
            "408": reference("TooSlow"),
            "413": reference("TooLarge"),
            "429": reference("TooMany"),
            "5XX": reference("Failed"),
        },
    }
