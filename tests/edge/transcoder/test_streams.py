"""Server streams over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import ClientPayloadError

from edge.transcoder import GrpcUpstream, Options, Transcoder
from tests.edge.transcoder.probe import Edge, serving
from tests.waiting import PATIENCE, until

EVENTS = "text/event-stream"
LINES = "application/x-ndjson"
JSON = "application/json"
FAILURE = {"code": 5, "message": "gone"}


@pytest.fixture(scope="module")
async def impatient(descriptors: bytes) -> AsyncIterator[Edge]:
    """The probe behind a transcoder that does not wait before it says that it is alive."""
    async with serving(descriptors, Options(grace=0.01, heartbeat=0.01)) as edge:
        yield edge


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        (EVENTS, 'data: {"value":1}\n\ndata: {"value":2}\n\n'),
        (LINES, '{"value":1}\n{"value":2}\n'),
        (JSON, '[{"value":1},\n{"value":2}]\n'),
        ("*/*", '[{"value":1},\n{"value":2}]\n'),
    ],
)
async def test_accept_chooses_the_framing(edge: Edge, accept: str, text: str) -> None:
    answer = await edge("GET", "/s/count?count=2", Accept=accept)

    assert (answer.status, answer.text) == (200, text)
    assert answer.headers["Content-Type"] == (accept if accept != "*/*" else JSON)
    assert answer.headers["ETag"] == '"numbers"'


async def test_a_stream_prints_bare_values_of_a_response_body(edge: Edge) -> None:
    assert (await edge("POST", "/s/values", '{"count": 3}', Accept=LINES)).text == "1\n2\n3\n"


@pytest.mark.parametrize(("accept", "text"), [(EVENTS, ""), (LINES, ""), (JSON, "[]\n")])
async def test_an_empty_stream_is_complete(edge: Edge, accept: str, text: str) -> None:
    answer = await edge("GET", "/s/count", Accept=accept)

    assert (answer.status, answer.text, answer.headers["ETag"]) == (200, text, '"numbers"')


async def test_a_framing_that_is_not_served_is_not_acceptable(edge: Edge) -> None:
    assert (await edge("GET", "/s/count", Accept="text/html")).status == 406


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", JSON), ("*/*", JSON), (JSON, JSON), (EVENTS, EVENTS), (LINES, LINES)],
)
async def test_a_unary_and_a_streaming_rpc_share_a_route(edge: Edge, accept: str, content_type: str) -> None:
    headers = {"Accept": accept} if accept else {}

    answer = await edge("POST", "/s/chat", '{"count": 2}', **headers)

    assert answer.headers["Content-Type"] == content_type
    assert (answer.text == '{"value":2}') == (content_type == JSON)


@pytest.mark.parametrize("accept", [EVENTS, LINES, JSON])
async def test_an_error_before_the_first_message_is_a_plain_problem(edge: Edge, accept: str) -> None:
    answer = await edge("POST", "/s/count", json.dumps({"failure": FAILURE}), Accept=accept)

    problem = json.loads(answer.body)
    assert (answer.status, problem["code"], problem["detail"]) == (404, "not_found", "gone")
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_bad_request_for_a_stream_is_a_plain_problem(edge: Edge) -> None:
    assert (await edge("GET", "/s/count?count=x", Accept=EVENTS)).status == 400


async def test_an_error_on_the_way_ends_an_event_stream_with_an_error_event(edge: Edge) -> None:
    text = (await edge("POST", "/s/count", json.dumps({"count": 1, "failure": FAILURE}), Accept=EVENTS)).text

    message, error, rest = text.split("\n\n")
    name, data = error.split("\n")
    assert (message, name, rest) == ('data: {"value":1}', "event: error", "")
    assert json.loads(data.removeprefix("data: "))["code"] == "not_found"


async def test_an_error_on_the_way_ends_lines_with_one_that_is_no_message(edge: Edge) -> None:
    text = (await edge("POST", "/s/count", json.dumps({"count": 1, "failure": FAILURE}), Accept=LINES)).text

    first, last = text.splitlines()
    assert json.loads(first) == {"value": 1}
    assert json.loads(last)["error"]["status"] == 404


async def test_an_error_on_the_way_breaks_an_array_off(edge: Edge) -> None:
    async with edge.open("POST", "/s/count", json.dumps({"count": 1, "failure": FAILURE})) as response:
        with pytest.raises(ClientPayloadError):
            await response.read()


@pytest.mark.parametrize("accept", [EVENTS, LINES, JSON])
async def test_a_message_is_sent_when_it_comes(edge: Edge, accept: str) -> None:
    async with edge.open("GET", "/s/count?count=1&hang=true", Accept=accept) as response:
        assert b'{"value":1}' in await response.content.readany()


async def test_an_idle_event_stream_starts_and_says_that_it_is_alive(impatient: Edge) -> None:
    async with impatient.open("GET", "/s/count?hang=true", Accept=EVENTS) as response:
        lines = [await response.content.readline() for _ in range(6)]

    assert response.status == 200
    assert lines == [b": ping\n", b"\n"] * 3


async def test_an_error_after_the_first_ping_is_an_error_event(impatient: Edge) -> None:
    async with impatient.open("GET", "/s/count?hang=true", Accept=EVENTS) as response:
        await response.content.readline()
        await impatient.stop_service()

        text = await response.text()

    assert '"status":503' in text.split("event: error\n")[1]


async def _leave(edge: Edge, method: str, path: str, **headers: str) -> None:
    """Open a request, wait until the service works on it, and go away."""
    edge.seen.started.clear()
    edge.seen.ended.clear()
    asking = asyncio.create_task(edge(method, path, **headers))
    await edge.seen.started.wait()
    asking.cancel()
    await asyncio.wait([asking])


@pytest.mark.parametrize("accept", [EVENTS, LINES, JSON])
async def test_a_client_that_goes_away_cancels_an_idle_stream(edge: Edge, accept: str) -> None:
    await _leave(edge, "GET", "/s/count?hang=true", Accept=accept)

    async with asyncio.timeout(PATIENCE):
        await edge.seen.ended.wait()


async def test_a_client_that_goes_away_cancels_a_stream_between_messages(edge: Edge) -> None:
    await _leave(edge, "GET", "/s/count?count=5&hang=true", Accept=EVENTS)

    async with asyncio.timeout(PATIENCE):
        await edge.seen.ended.wait()


async def test_a_client_that_goes_away_cancels_a_unary_call(edge: Edge) -> None:
    await _leave(edge, "GET", "/hang")

    async with asyncio.timeout(PATIENCE):
        await edge.seen.ended.wait()


async def test_a_long_stream_arrives_whole_and_in_order(edge: Edge) -> None:
    text = (await edge("GET", "/s/count?count=5000", Accept=LINES)).text

    assert [json.loads(line)["value"] for line in text.splitlines()] == list(range(1, 5001))


async def test_head_of_a_stream_does_not_call_the_service(edge: Edge) -> None:
    edge.seen.started.clear()

    answer = await edge("HEAD", "/s/count?hang=true", Accept=EVENTS)

    assert (answer.status, answer.body, edge.seen.started.is_set()) == (200, b"", False)


@pytest.fixture(scope="module")
async def numbering(descriptors: bytes) -> AsyncIterator[Edge]:
    """The probe behind a transcoder that takes the numbers for ids."""
    async with serving(descriptors, Options(event_id="value")) as edge:
        yield edge


async def test_an_event_has_the_id_that_its_message_has(numbering: Edge) -> None:
    body = json.dumps({"count": 2, "failure": FAILURE})
    text = (await numbering("POST", "/s/count", body, Accept=EVENTS)).text

    assert text.startswith('id: 1\ndata: {"value":1}\n\nid: 2\ndata: {"value":2}\n\nevent: error\ndata: {')


async def test_only_events_of_messages_with_an_id_have_one(numbering: Edge) -> None:
    lines = (await numbering("GET", "/s/count?count=1", Accept=LINES)).text
    values = (await numbering("POST", "/s/values", '{"count": 1}', Accept=EVENTS)).text

    assert (lines, values) == ('{"value":1}\n', "data: 1\n\n")


@pytest.mark.parametrize(
    ("fields", "path", "message", "event"),
    [
        ("int64 n = 1;", "n", b"", b"id: 0\ndata: {}"),
        ("optional int64 n = 1;", "n", b"", b"data: {}"),
        ("optional int64 n = 1;", "n", b"\x08\x00", b'id: 0\ndata: {"n":"0"}'),
        ("message E { int64 n = 1; } E e = 1;", "e.n", b"", b"data: {}"),
        ("message E { int64 n = 1; } E e = 1;", "e.n", b"\x0a\x02\x08\x07", b'id: 7\ndata: {"e":{"n":"7"}}'),
        ("string s = 1;", "s", b"\x0a\x01x", b'id: x\ndata: {"s":"x"}'),
        ("string s = 1;", "s", b"", b"data: {}"),
        ("string s = 1;", "s", b"\x0a\x03a\nb", b'data: {"s":"a\\nb"}'),
        ("repeated int64 n = 1;", "n", b"", None),
        ("bool n = 1;", "n", b"", None),
        ("oneof o { int64 n = 1; }", "n", b"", None),
        ("int64 n = 1;", "e.n", b"", None),
    ],
)
def test_an_id_is_a_number_or_a_line_of_text(
    compile_proto: Callable[[str], bytes], fields: str, path: str, message: bytes, event: bytes | None
) -> None:
    rpc = 'rpc R(M) returns (stream M) { option (google.api.http) = { get: "/a" }; }'
    text = f"message M {{ {fields} }} service S {{ {rpc} }}"

    (route,) = Transcoder(compile_proto(text), GrpcUpstream({}), Options(event_id=path)).routes

    assert (route.print_event(message) if route.print_event else None) == event


async def test_a_client_that_does_not_read_holds_the_service_back(edge: Edge) -> None:
    edge.seen.sent = 0
    reader, writer = await edge.connect()
    target = b"/s/count?count=20000&padding=5000"
    writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n" % target)
    await reader.readuntil(b"\r\n\r\n")

    sent = await edge.seen.sent_when_still()
    writer.transport.abort()

    assert sent < 4000


async def test_two_hundred_clients_that_go_away_at_once_cancel_two_hundred_rpcs(edge: Edge) -> None:
    writers = []
    for _ in range(200):
        _, writer = await edge.connect()
        writer.write(b"GET /s/count?hang=true HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        writers.append(writer)
    await until(lambda: _is(edge.seen.hanging == 200))

    for writer in writers:
        writer.transport.abort()

    await until(lambda: _is(edge.seen.hanging == 0))


async def _is(fact: bool) -> bool:
    return fact
