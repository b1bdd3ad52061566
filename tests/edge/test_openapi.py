"""The product's OpenAPI document and the page that shows it."""

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import aiohttp
import protovalidate
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from openapi_spec_validator import validate

from edge.app import SERVICES
from edge.openapi import examples
from edge.pages import descriptors
from edge.transcoder import GrpcUpstream, Transcoder

Document = dict[str, Any]

_NO_RPC = {
    *("/", "/health", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"),
    "/api/webhooks/stripe",
}


@pytest.fixture
async def document(http: aiohttp.ClientSession) -> Document:
    async with http.get("/openapi.json") as response:
        assert response.content_type == "application/json"
        found: Document = await response.json()
    return found


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, place in document["paths"].items():
        for method, operation in place.items():
            yield method.upper(), path, operation


def methods() -> Iterator[MethodDescriptor]:
    for service in SERVICES.values():
        yield from service.methods


def read(message: Descriptor, value: dict[str, Any]) -> Any:
    """The message that an example is; one that is none is refused."""
    return json_format.ParseDict(value, message_factory.GetMessageClass(message)())


async def test_the_document_is_valid_openapi(document: Document) -> None:
    validate(document)

    assert document["openapi"] == "3.1.0"


def reached(message: Descriptor) -> Iterator[Descriptor]:
    """A message of the product and those that it holds."""
    yield message
    for field in message.fields:
        if field.message_type and field.message_type.file is message.file:
            yield from reached(field.message_type)


async def test_every_figure_of_a_report_that_may_be_missing_is_null_then(document: Document) -> None:
    schemas = document["components"]["schemas"]
    optional, nullable = set(), set()
    for message in (held for method in SERVICES["analytics"].methods for held in reached(method.output_type)):
        for field in message.fields:
            if field.containing_oneof:
                optional.add((message.name, field.json_name))
            if "null" in schemas[message.name]["properties"][field.json_name].get("type", ()):
                nullable.add((message.name, field.json_name))

    assert len(optional) > 30
    assert nullable == optional


async def test_every_route_is_in_the_document_and_nothing_else(document: Document) -> None:
    routes = Transcoder(descriptors(), GrpcUpstream({})).routes
    served = {(route.http_method, re.sub(r"\{[^}]*\}", "{}", route.template.text)) for route in routes}

    described = {(method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path, _ in operations(document)}
    assert {path for _, path in described - served} == _NO_RPC
    assert served <= described


async def test_every_operation_says_what_it_does_who_may_call_and_what_goes_wrong(document: Document) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for _, path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert "security" in operation, path
        if path in _NO_RPC:
            continue
        assert {"400", "406", "429", "5XX"} <= set(operation["responses"]), path
        assert ("401" in operation["responses"]) >= bool(operation["security"]), path


async def test_every_error_that_a_comment_names_is_a_response(document: Document) -> None:
    cancel = document["paths"]["/api/chat/generations/{generationId}:cancel"]["post"]["responses"]
    resume = document["paths"]["/api/chat/generations/{generationId}/stream"]["get"]["responses"]

    assert cancel["404"]["description"] == "No such generation, or it is not the caller's."
    assert "STREAM_EXPIRED" in resume["400"]["description"]
    assert list(cancel["404"]["content"]) == ["application/problem+json"]


@pytest.mark.parametrize("rpc", sorted(examples()))
def test_an_example_is_what_its_rpc_takes_and_answers(rpc: str) -> None:
    method = next(found for found in methods() if found.full_name == rpc)
    example = examples()[rpc]

    if example.request is not None:
        protovalidate.validate(read(method.input_type, example.request))
    if example.response is not None:
        read(method.output_type, example.response)
    for event in example.events:
        read(method.output_type, event)
    assert method.server_streaming == bool(example.events)


async def test_a_route_that_redirects_says_so(document: Document) -> None:
    statuses = [
        status
        for path in ("/api/auth/oidc/{provider}", "/api/auth/oidc/{provider}/callback")
        for status in document["paths"][path]["get"]["responses"]
        if status < "400"
    ]

    assert statuses == ["302", "303"]


async def test_sending_a_message_shows_both_of_its_answers(document: Document) -> None:
    content = document["paths"]["/api/chat"]["post"]["responses"]["200"]["content"]

    assert content["application/json"]["example"]["message"]["state"] == "STATE_DONE"
    assert content["text/event-stream"]["example"].startswith('id: 0\ndata: {"event":{"sequence":"0","messageStart"')
    assert content["application/x-ndjson"]["example"].startswith('{"event":{"sequence":"0","messageStart"')


async def test_a_stream_that_can_be_gone_on_with_says_how(document: Document) -> None:
    resuming = document["paths"]["/api/chat/generations/{generationId}/stream"]["get"]

    assert {"$ref": "#/components/parameters/LastEventID"} in resuming["parameters"]


async def test_a_request_that_may_be_repeated_says_how(document: Document) -> None:
    header = {"$ref": "#/components/parameters/IdempotencyKey"}

    assert header in document["paths"]["/api/subscriptions"]["post"]["parameters"]
    assert header not in document["paths"]["/api/subscriptions"]["get"]["parameters"]


async def test_a_refusal_over_the_limit_names_its_headers(document: Document) -> None:
    headers = document["components"]["responses"]["TooMany"]["headers"]

    assert {reference["$ref"].rpartition("/")[2] for reference in headers.values()} == set(headers)
    assert set(headers) <= set(document["components"]["headers"])
    assert "RateLimit-Reset" in headers


async def test_a_second_path_points_to_the_first(document: Document) -> None:
    first, second = (document["paths"][path]["get"] for path in ("/api/plans", "/api/billing/plans"))

    assert second["summary"] == "Same as GET /api/plans"
    assert second["responses"] == first["responses"]
    assert not first["summary"].startswith("Same as")


async def test_an_unchanged_document_is_not_sent_again(http: aiohttp.ClientSession) -> None:
    async with http.get("/openapi.json") as first:
        tag = first.headers["ETag"]
        assert first.headers["Content-Encoding"]
    async with http.get("/openapi.json", headers={"If-None-Match": tag}) as second:
        assert second.status == 304


async def test_the_docs_page_asks_only_for_files_of_its_own(http: aiohttp.ClientSession) -> None:
    async with http.get("/docs") as response:
        page, policy = await response.text(), response.headers["Content-Security-Policy"]
    asked = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert "unsafe" not in policy
    assert len(asked) >= 5
    for link in asked:
        if link == "data:,":
            continue
        assert link.startswith("/"), link
        async with http.get(link) as file:
            assert file.status in (200, 503), link
            if link.startswith("/docs/"):
                assert "immutable" in file.headers["Cache-Control"]


async def test_a_page_that_the_browser_has_keeps_its_policy(http: aiohttp.ClientSession) -> None:
    async with http.get("/docs") as first:
        tag, policy = first.headers["ETag"], first.headers["Content-Security-Policy"]
    async with http.get("/docs", headers={"If-None-Match": tag}) as second:
        assert (second.status, second.headers["Content-Security-Policy"]) == (304, policy)


async def test_without_javascript_the_docs_page_lists_every_route(
    http: aiohttp.ClientSession, document: Document
) -> None:
    async with http.get("/docs") as response:
        page = await response.text()

    for method, path, _ in operations(document):
        assert f"<code>{method} {path}</code>" in page


def test_the_files_of_swagger_ui_come_with_their_licence_and_origin() -> None:
    folder = resources.files("edge") / "docs" / "swagger-ui"
    source = json.loads((folder / "source.json").read_text())

    assert source["package"] == "swagger-ui-dist"
    assert source["integrity"].startswith("sha512-")
    assert "Apache License" in (folder / "LICENSE").read_text()
