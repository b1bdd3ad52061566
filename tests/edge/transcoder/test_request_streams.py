"""Bodies that are streams of requests, and files in chunks."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from edge.transcoder import Options
from tests.edge.transcoder.probe import Edge, serving
from tests.waiting import PATIENCE

FAILURE = '{"failure": {"code": 5, "message": "gone"}}\n'


@pytest.fixture(scope="module")
async def impatient(descriptors: bytes) -> AsyncIterator[Edge]:
    async with serving(descriptors, Options(patience=0.1)) as edge:
        yield edge


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _ask_and_wait(edge: Edge, path: str, first: bytes) -> tuple[int, Any]:
    """Send the first part of a body that does not end before the answer has come."""
    answered = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield first
        await answered.wait()

    async with edge.open("POST", path, body()) as response:
        document = json.loads(await response.content.readany())
        answered.set()
    return response.status, document


@pytest.mark.parametrize(
    "body",
    [
        '{"value": 1}\n{"value": 2}\n',
        '{"value": 1}\n{"value": 2}',
        '{"value": 1}\r\n\r\n  \n{"value": 2}\r\n',
    ],
)
async def test_each_line_is_a_request(edge: Edge, body: str) -> None:
    answer = await edge("POST", "/t/sum/a", body, Content_Type="application/x-ndjson")

    assert (answer.status, json.loads(answer.body)) == (200, {"accounts": ["a", "a"], "total": 3})
    assert answer.headers["Content-Type"] == "application/json"


async def test_a_line_may_come_in_parts(edge: Edge) -> None:
    body = _chunks(b'{"val', b'ue": 1', b'}\n{"value": 2}\n{"va', b'lue": 3}')

    assert json.loads((await edge("POST", "/t/sum/a", body)).body)["total"] == 6


async def test_no_line_is_no_request(edge: Edge) -> None:
    assert json.loads((await edge("POST", "/t/sum/a", "")).body) == {}


async def test_each_line_is_what_the_body_clause_says(edge: Edge) -> None:
    answer = await edge("POST", "/t/values/a", "1\n2\n3\n")

    assert answer.text == "6"


async def test_the_path_is_bound_to_every_line(edge: Edge) -> None:
    answer = await edge("POST", "/t/sum/a", '{"account": "mallory"}\n' * 2)

    assert json.loads(answer.body)["accounts"] == ["a", "a"]


@pytest.mark.parametrize(
    ("line", "code", "detail"),
    [
        ('{"value": "x"}', "invalid_argument", "Line 3: value: "),
        ('{"nope": 1}', "unknown_field", "Line 3: nope: "),
        ("{", "malformed_json", "Line 3: "),
        ('{"value": 1}{"value": 2}', "malformed_json", "Line 3: "),
    ],
)
async def test_a_line_that_is_no_request_is_named_and_cancels_the_rpc(
    edge: Edge, line: str, code: str, detail: str
) -> None:
    answer = await edge("POST", "/t/sum/a", f'{{"value": 1}}\n\n{line}\n{{"value": 4}}\n')

    problem = json.loads(answer.body)
    assert (answer.status, problem["code"]) == (400, code)
    assert problem["detail"].startswith(detail)


async def test_what_is_wrong_with_the_url_is_refused_before_a_line_is_read(edge: Edge) -> None:
    status, problem = await _ask_and_wait(edge, "/t/sum/%FF", b"{")

    assert (status, problem["code"]) == (400, "malformed_url")


@pytest.mark.parametrize("end", [b"", b'"}\n'])
async def test_a_line_larger_than_a_body_may_be_is_refused(edge: Edge, end: bytes) -> None:
    answer = await edge("POST", "/t/sum/a", _chunks(b'{"value": 1}\n{"account": "', b"x" * (2 << 20), end))

    problem = json.loads(answer.body)
    assert (answer.status, problem["code"]) == (413, "body_too_large")
    assert problem["detail"].startswith("Line 2: ")


async def test_many_lines_may_be_larger_than_a_body(edge: Edge) -> None:
    line = json.dumps({"value": 1, "account": "x" * 50_000}).encode() + b"\n"

    answer = await edge("POST", "/t/sum/a", _chunks(*[line] * 40))

    assert json.loads(answer.body)["total"] == 40


async def test_a_body_that_stops_coming_is_refused(impatient: Edge) -> None:
    status, problem = await _ask_and_wait(impatient, "/t/sum/a", b'{"value": 1}\n')

    assert (status, problem["code"]) == (408, "body_too_slow")


@pytest.mark.parametrize("body", [FAILURE, FAILURE + '{"value": 1}\n'])
async def test_an_error_of_the_service_is_a_problem(edge: Edge, body: str) -> None:
    answer = await edge("POST", "/t/sum/a", body)

    assert (answer.status, json.loads(answer.body)["detail"]) == (404, "gone")


async def test_a_service_that_ends_early_is_answered_while_the_body_still_comes(edge: Edge) -> None:
    assert await _ask_and_wait(edge, "/t/sum/a", b'{"stop": true}\n') == (200, {})


async def test_a_client_that_goes_away_cancels_the_rpc(edge: Edge) -> None:
    edge.seen.started.clear()
    edge.seen.ended.clear()
    asking = asyncio.create_task(_ask_and_wait(edge, "/t/sum/a", b'{"hang": true}\n'))
    await edge.seen.started.wait()

    asking.cancel()

    await asyncio.wait([asking])
    async with asyncio.timeout(PATIENCE):
        await edge.seen.ended.wait()


async def test_a_client_that_waits_to_be_asked_is_asked(edge: Edge) -> None:
    head = b"POST /t/sum/a HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n"

    assert await edge.raw(head, until=b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_a_service_that_does_not_read_holds_the_upload_back_but_not_for_ever(impatient: Edge) -> None:
    impatient.seen.ended.clear()
    given = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        yield b'{"hang": true}\n'
        while not impatient.seen.ended.is_set():
            given += 1
            yield b'{"account": "' + b"x" * 50_000 + b'"}\n'

    answer = await impatient("POST", "/t/sum/a", body())

    assert (answer.status, json.loads(answer.body)["code"]) == (504, "deadline_exceeded")
    assert given < 1000


async def _receipt(edge: Edge, body: Any, **headers: str) -> Any:
    answer = await edge("PUT", "/f/cat", body, **headers)
    assert answer.status == 200, answer.text
    return json.loads(answer.body)


async def test_a_file_arrives_in_chunks_and_the_first_says_what_it_is(edge: Edge) -> None:
    receipt = await _receipt(edge, _chunks(*[b"x" * 200_000] * 5), Content_Type="image/png")

    assert receipt.pop("parts") > 1
    assert receipt == {"name": "cat", "contentType": "image/png", "size": 1_000_000}


async def test_an_empty_file_is_one_chunk(edge: Edge) -> None:
    assert await _receipt(edge, b"", Content_Type="image/png") == {
        "name": "cat",
        "contentType": "image/png",
        "parts": 1,
    }


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_may_be_as_large_as_a_body(edge: Edge, announced: bool) -> None:
    chunks = [b"x" * (1 << 18)] * 5

    answer = await edge("PUT", "/f/cat", io.BytesIO(b"".join(chunks)) if announced else _chunks(*chunks))

    assert (answer.status, json.loads(answer.body)["code"]) == (413, "body_too_large")


async def test_chunks_are_sent_with_nothing_between_and_the_type_of_the_first(edge: Edge) -> None:
    answer = await edge("GET", "/f/chunks?count=3&padding=2&contentType=text/csv")

    assert (answer.status, answer.text, answer.headers["Content-Type"]) == (200, "001122", "text/csv")


@pytest.mark.parametrize("accept", ["*/*", "text/csv", "application/json"])
async def test_whatever_a_client_accepts_the_service_chooses_the_type(edge: Edge, accept: str) -> None:
    answer = await edge("GET", "/f/chunks?count=1&padding=1&contentType=text/csv", Accept=accept)

    assert answer.headers["Content-Type"] == "text/csv"


async def test_no_chunk_at_all_is_an_empty_body(edge: Edge) -> None:
    answer = await edge("GET", "/f/chunks")

    assert (answer.status, answer.body) == (200, b"")


async def test_a_chunk_is_sent_when_it_comes(edge: Edge) -> None:
    async with edge.open("GET", "/f/chunks?count=1&padding=3&hang=true") as response:
        assert await response.content.readany() == b"000"


async def test_an_error_between_chunks_breaks_the_body_off(edge: Edge) -> None:
    async with edge.open("GET", "/f/chunks?count=1&padding=1&failure.code=5") as response:
        with pytest.raises(ClientPayloadError):
            await response.read()


async def test_an_error_before_the_first_chunk_is_a_problem(edge: Edge) -> None:
    assert (await edge("GET", "/f/chunks?failure.code=5")).status == 404


async def test_a_content_type_that_is_no_header_is_the_services_mistake(edge: Edge) -> None:
    answer = await edge("GET", "/f/chunks?count=1&contentType=a%0D%0Ab:c")

    assert (answer.status, json.loads(answer.body)["code"]) == (500, "internal")
