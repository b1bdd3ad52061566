"""The whole OpenAPI 3.1 document of a set of routes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.transcoder.descriptors import registry_of
from edge.transcoder.openapi import replies
from edge.transcoder.openapi.comments import comments_of, prose_of
from edge.transcoder.openapi.constraints import Schema
from edge.transcoder.openapi.operations import Amend, Example, Operations
from edge.transcoder.openapi.paths import Paths
from edge.transcoder.openapi.schemas import Schemas
from edge.transcoder.routes import Route

_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"})
_ANY = ("GET", "PUT", "POST", "DELETE", "PATCH")


def _nothing(_route: Route) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class About:
    """What a document says that descriptors do not.

    `paths` and `components` are put beside the generated ones. `tags` go behind those of services; one that is named
    for a service adds to it and takes it to its own place. `servers` are URLs; none means where the document is.
    `amend` gives members of a route's operation: its parameters and responses come on top, a description comes after
    the comment, and the rest replaces. `examples` are by the RPC's full name. `nulls` is as in
    the transcoder's options.
    """

    title: str
    version: str
    description: str = ""
    servers: Sequence[str] = ()
    components: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    paths: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tags: Sequence[Mapping[str, Any]] = ()
    amend: Amend = _nothing
    examples: Mapping[str, Example] = field(default_factory=dict)
    nulls: str = ""


def document(descriptors: bytes, routes: Sequence[Route], about: About) -> bytes:
    """The document as JSON. `descriptors` is the set that the routes come from; with source info, comments are used.

    An HTTP method that OpenAPI 3.1 does not know stands under `x-additionalOperations`, as 3.2 has it.
    """
    comments = comments_of(descriptors)
    schemas = Schemas(
        registry_of(descriptors),
        comments,
        inputs=[route.method.input for route in routes],
        outputs=[route.method.output for route in routes],
        taken=replies.PROBLEM_SCHEMAS,
        nulls=about.nulls,
    )
    operations = Operations(schemas, about.amend, about.examples)
    paths: dict[str, Any] = {}
    for path, method, operation in _operations(routes, operations):
        place = paths.setdefault(path, {})
        if method not in _METHODS:
            place = place.setdefault("x-additionalOperations", {})
        place[method if method not in _METHODS else method.lower()] = operation
    info = {"title": about.title, "version": about.version, "description": about.description}
    made = {
        "openapi": "3.1.0",
        "info": {name: value for name, value in info.items() if value},
        **({"servers": [{"url": url} for url in about.servers]} if about.servers else {}),
        "tags": _ordered(_tags(routes, comments), about.tags),
        "paths": paths | dict(about.paths),
        "components": _components(schemas, about),
    }
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


def _operations(routes: Sequence[Route], operations: Operations) -> Iterator[tuple[str, str, Schema]]:
    """Every path, method and operation, in the order of the routes."""
    paths, ids = Paths(), _ids(routes)
    places: dict[tuple[str, str], list[Route]] = {}
    names: dict[str, Sequence[str]] = {}
    described: dict[str, tuple[str, Route]] = {}  # by RPC: where, and its first binding
    for route in routes:
        path, names_here = paths.spell(route.template)
        names[path] = names_here
        for method in _ANY if route.http_method == "*" else (route.http_method,):
            places.setdefault((path, method), []).append(route)
    for (path, method), here in places.items():
        own = [route for route in here if route.http_method == method] or here  # a method named beats `*`
        first = min(own, key=lambda route: route.streaming)
        name = ids[first] if first.http_method != "*" else f"{ids[first]}_{method.lower()}"
        where, binding = described.setdefault(first.rpc, (f"{method} {path}", first))
        same_as = "" if binding is first else where
        yield path, method, operations.make(name, own, names[path], same_as=same_as)


def _ids(routes: Sequence[Route]) -> dict[Route, str]:
    """`Service_Method` for an RPC's first binding, `Service_Method_2` for its second.

    A new route elsewhere changes none; services of one name in two packages are told apart by their full names.
    """
    services: dict[str, set[str]] = {}
    for route in routes:
        services.setdefault(route.method.parent.name, set()).add(route.method.parent.type_name)
    counts: dict[str, int] = {}
    found: dict[Route, str] = {}
    for route in routes:
        service = route.method.parent
        name = service.name if len(services[service.name]) == 1 else service.type_name.replace(".", "_")
        counts[route.rpc] = counts.get(route.rpc, 0) + 1
        number = "" if counts[route.rpc] == 1 else f"_{counts[route.rpc]}"
        found[route] = f"{name}_{route.method.name}{number}"
    return found


def _tags(routes: Sequence[Route], comments: Mapping[str, str]) -> Iterator[Schema]:
    for service in {route.method.parent.name: route.method.parent for route in routes}.values():
        said = prose_of(comments.get(service.type_name, ""), service.name)
        tag = {"name": service.name, "description": "\n\n".join(part for part in (said.summary, said.rest) if part)}
        yield {name: value for name, value in tag.items() if value}


def _ordered(generated: Iterator[Schema], given: Sequence[Mapping[str, Any]]) -> list[Schema]:
    """The generated tags, then the given ones with what is generated of them."""
    found = {tag["name"]: tag for tag in generated}
    behind = [{**found.pop(tag["name"], {}), **tag} for tag in given]
    return [*found.values(), *behind]


def _components(schemas: Schemas, about: About) -> Schema:
    components = {name: dict(values) for name, values in about.components.items()}
    own = {**replies.PROBLEM_SCHEMAS, **components.get("schemas", {}), **schemas.components}
    responses = {**replies.component_responses(), **components.get("responses", {})}
    parameters = {"IfNoneMatch": replies.IF_NONE_MATCH, "LastEventID": replies.LAST_EVENT_ID}
    return {
        **components,
        "parameters": parameters | components.get("parameters", {}),
        "headers": {"ETag": replies.ETAG} | components.get("headers", {}),
        "responses": responses,
        "schemas": dict(sorted(own.items())),
    }
