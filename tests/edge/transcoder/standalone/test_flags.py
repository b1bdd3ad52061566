"""What the flags change, each beside what is the case without it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.edge.transcoder.standalone import services
from tests.edge.transcoder.standalone.program import Program, running
from tests.edge.transcoder.standalone.services import Storage

RAW = "/v1/buckets/b/objects/a%2fb%3Ac%20d"


class Mirror(Storage):
    """An object's content is what the service heard: its name, and the call's metadata."""

    async def GetObject(self, request: Any, context: Any) -> Any:
        if request.name.endswith("/never"):
            await asyncio.Event().wait()
        heard = {"name": request.name, **dict(context.invocation_metadata())}
        return self._messages["google.api.HttpBody"](data=json.dumps(heard).encode(), content_type="application/json")


@pytest.fixture(scope="module")
async def upstream(sets: dict[str, Path]) -> AsyncIterator[str]:
    async with services.serving(sets["storage"].read_bytes(), Mirror) as address:
        yield address


@pytest.fixture(scope="module")
async def plain(sets: dict[str, Path], upstream: str) -> AsyncIterator[Program]:
    async with running("--descriptor-set", str(sets["storage"]), "--upstream", upstream) as program:
        yield program


@pytest.fixture(scope="module")
async def lenient(sets: dict[str, Path], upstream: str) -> AsyncIterator[Program]:
    flags = ("--unescape", "all_except_reserved", "--ignore-unknown", "--emit-defaults", "--access-log")
    async with running("--descriptor-set", str(sets["storage"]), "--upstream", upstream, *flags) as program:
        yield program


@pytest.fixture(scope="module")
async def narrow(sets: dict[str, Path], upstream: str) -> AsyncIterator[Program]:
    flags = (
        "--unescape",
        "all",
        "--timeout",
        "0.2",
        "--max-body-bytes",
        "10",
        "--allow-header",
        "X-Tenant",
        "--no-openapi",
    )
    async with running("--descriptor-set", str(sets["storage"]), "--upstream", upstream, *flags) as program:
        yield program


async def test_unescape_says_what_stays_encoded_in_a_name(plain: Program, lenient: Program, narrow: Program) -> None:
    names = [(await program.json("GET", RAW))["name"] for program in (plain, lenient, narrow)]

    assert names == [f"buckets/b/objects/{name}" for name in ("a%2fb:c d", "a%2fb%3Ac d", "a/b:c d")]


async def test_unknown_names_are_refused_or_dropped(plain: Program, lenient: Program) -> None:
    refused = await plain("GET", "/v1/buckets/b/objects?nope=1")
    dropped = await lenient("GET", "/v1/buckets/b/objects?nope=1")

    assert (refused.status, json.loads(refused.body)["errors"][0]["field"]) == (400, "nope")
    assert dropped.status == 200


async def test_defaults_are_left_out_or_printed(plain: Program, lenient: Program) -> None:
    assert await plain.json("GET", "/v1/buckets/b/objects") == {}
    assert await lenient.json("GET", "/v1/buckets/b/objects") == {"objects": []}


async def test_an_rpc_may_take_as_long_as_the_timeout_says(narrow: Program) -> None:
    assert (await narrow("GET", "/v1/buckets/b/objects/never")).status == 504


async def test_a_client_may_say_how_long_it_would_wait(plain: Program) -> None:
    assert (await plain("GET", "/v1/buckets/b/objects/never", grpc_timeout="50m")).status == 504


async def test_a_body_may_be_as_long_as_max_body_bytes_says(plain: Program, narrow: Program) -> None:
    path = "/v1/buckets/b/objects/x"

    assert (await narrow("PUT", path, b"x" * 10)).status == 200
    assert (await narrow("PUT", path, b"x" * 11)).status == 413
    assert (await plain("PUT", path, b"x" * 11)).status == 200


async def test_headers_are_passed_on_by_an_allow_list(plain: Program, narrow: Program) -> None:
    sent = {"authorization": "Bearer t", "x_tenant": "acme", "cookie": "a=b"}

    usual = await plain.json("GET", RAW, **sent)
    with_tenant = await narrow.json("GET", RAW, **sent)

    assert usual["authorization"] == with_tenant["authorization"] == "Bearer t"
    assert {"x-tenant", "cookie"}.isdisjoint(usual)
    assert (with_tenant["x-tenant"], "cookie" in with_tenant) == ("acme", False)


async def test_a_request_has_an_id_that_the_service_hears_and_the_client_sees(plain: Program) -> None:
    given = await plain("GET", RAW, x_request_id="r-7")
    made = await plain("GET", RAW, x_request_id="not one")
    refused = await plain("GET", "/nothing", x_request_id="r-8")

    assert (given.headers["X-Request-Id"], json.loads(given.body)["x-request-id"]) == ("r-7", "r-7")
    assert made.headers["X-Request-Id"] == json.loads(made.body)["x-request-id"] != "not one"
    assert (refused.headers["X-Request-Id"], json.loads(refused.body)["requestId"]) == ("r-8", "r-8")


async def test_the_access_log_has_a_line_for_each_request_and_no_query(lenient: Program) -> None:
    await lenient("POST", "/v1/buckets/b/objects?token=secret", x_request_id="r-9")

    line = await lenient.log_line_of("r-9")

    assert {key: line[key] for key in ("method", "path", "status", "requestId")} == {
        "method": "POST",
        "path": "/v1/buckets/b/objects",
        "status": 405,
        "requestId": "r-9",
    }
    assert line["ms"] >= 0


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nSecret : 1\r\n\r\n", b" 400 Bad Request", b"malformed_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nSecret: " + b"s" * 20_000 + b"\r\n\r\n", b" 431 ", b"headers_too_large"),
        (b"GET /Secret" + b"s" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b" 414 ", b"uri_too_long"),
    ],
)
async def test_what_is_no_http_is_a_problem_document_that_does_not_repeat_it(
    plain: Program, request_: bytes, status: bytes, code: bytes
) -> None:
    answer = await plain.raw(request_)

    assert status in answer.partition(b"\r\n")[0]
    assert b"application/problem+json" in answer
    assert code in answer
    assert b"Secret" not in answer


async def test_no_answer_tells_versions(plain: Program) -> None:
    served = await plain("GET", "/v1/buckets/b/objects/a")
    refused = await plain.raw(b"HELLO\r\n\r\n")

    assert served.headers["Server"] == "transcoder"
    assert b"aiohttp" not in refused


async def test_an_openapi_document_describes_the_service_unless_that_is_not_wanted(
    plain: Program, narrow: Program
) -> None:
    document = await plain.json("GET", "/openapi.json")

    assert document["info"]["title"] == "storage.v1.Storage"
    assert any(path.endswith(":compose") for path in document["paths"])
    assert (await narrow("GET", "/openapi.json")).status == 404
