"""What becomes of a reply: rules 47 to 49 of research/transcoding.md, and what a service says about its response."""

import json
from collections.abc import AsyncIterator

import pytest

from edge.transcoder import Call, GrpcUpstream, Options, Refused, Transcoder
from tests.edge.transcoder.probe import Edge, Messages, serving


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/r/text", '{"stringValue":"s"}', '"s"'),
        ("/r/text", "{}", '""'),
        ("/r/int64", '{"int64Value":5}', '"5"'),
        ("/r/int64", "{}", '"0"'),
        ("/r/list", '{"repeatedInt32":[1,2]}', "[1,2]"),
        ("/r/list", "{}", "[]"),
        ("/r/map", '{"m":{"a":"é"}}', '{"a":"é"}'),
        ("/r/map", "{}", "{}"),
        ("/r/ts", '{"timestamp":"2020-01-01T00:00:00Z"}', '"2020-01-01T00:00:00Z"'),
        ("/r/ts", "{}", "null"),
        ("/r/color", '{"color":1}', '"RED"'),
        ("/r/child", '{"child":{"text":"a"}}', '{"text":"a"}'),
        ("/r/child", "{}", "{}"),
        ("/b/star", "{}", "{}"),
    ],
)
async def test_the_reply_is_the_message_or_the_bare_value_of_the_response_body(
    edge: Edge, path: str, body: str, text: str
) -> None:
    answer = await edge("POST", path, body)

    assert (answer.status, answer.text) == (200, text)
    assert answer.headers["Content-Type"] == "application/json"


async def test_an_empty_reply_is_an_empty_object(edge: Edge) -> None:
    assert (await edge("GET", "/r/nothing")).text == "{}"


async def test_a_raw_body_passes_both_ways_untouched(edge: Edge) -> None:
    data = b'\x00\xff{"a":'

    uploaded = await edge("PUT", "/files/a.png", data, Content_Type="image/png")
    mirrored = await edge("POST", "/mirror", data, Content_Type="text/x", Accept="text/html")

    assert (uploaded.body, uploaded.headers["Content-Type"]) == (data, "image/png")
    assert (mirrored.body, mirrored.headers["Content-Type"]) == (data, "text/x")


async def test_an_empty_raw_body_is_an_empty_answer(edge: Edge) -> None:
    answer = await edge("POST", "/mirror", b"", Content_Type="text/x")

    assert (answer.status, answer.body) == (200, b"")


def test_a_raw_body_cannot_bring_a_header_of_its_own(transcoder: Transcoder, messages: Messages) -> None:
    route = transcoder.match("POST", "/mirror").route
    reply = messages["google.api.HttpBody"](content_type="text/html\r\nSet-Cookie: a=b")

    with pytest.raises(Refused, match="header"):
        route.print_body(reply.SerializeToString())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("9201030a0161", '{"m":{"a":""}}'),  # a map entry without its value, as .NET writes it
        ("92010312016 1".replace(" ", ""), '{"m":{"":"a"}}'),
        ("78017802", '{"repeatedInt32":[1,2]}'),  # unpacked
        ("6a030a01616a022005", '{"child":{"text":"a","number":5}}'),  # one message in two parts
        ("f87f01", "{}"),  # an unknown field
    ],
)
def test_every_wire_form_of_a_reply_is_read(transcoder: Transcoder, data: str, text: str) -> None:
    route = transcoder.match("POST", "/b/star").route

    assert route.print_body(bytes.fromhex(data)).data.decode() == text


def test_defaults_are_printed_if_that_is_wanted(descriptors: bytes) -> None:
    transcoder = Transcoder(descriptors, GrpcUpstream({}), Options(emit_defaults=True))

    printed = json.loads(transcoder.match("POST", "/b/star").route.print_body(b"").data)

    assert printed["stringValue"] == ""
    assert printed["int64Value"] == "0"
    assert printed["repeatedChild"] == []
    assert {"child", "optInt32", "timestamp", "choiceText"}.isdisjoint(printed)


@pytest.mark.parametrize(
    "body", ['{"mask":""}', '{"any":{"@type":"type.googleapis.com/probe.v1.Child"}}', '{"doubleValue":"NaN"}']
)
async def test_special_values_print_as_protojson(edge: Edge, body: str) -> None:
    assert json.loads((await edge("POST", "/b/star", body)).body) == json.loads(body)


def test_a_reply_that_json_cannot_say_is_the_service_s_fault(transcoder: Transcoder) -> None:
    route = transcoder.match("POST", "/b/star").route

    for data in (b"\x0a\x05", b"\x0a\x01\xff", bytes.fromhex("f201080a06666f6f426172")):
        with pytest.raises(ValueError):  # noqa: PT011 - the codec's own errors
            route.print_body(data)


async def test_a_service_declares_status_and_headers(edge: Edge) -> None:
    initial = {"x-http-status": "201", "location": "/x/1"}
    trailing = {"set-cookie": "a=b", "etag": '"1"', "secret": "x"}

    answer = await edge("POST", "/decorate", json.dumps({"initial": initial, "trailing": trailing}))

    assert (answer.status, answer.text) == (201, "{}")
    assert {name: answer.headers[name] for name in ("Location", "Set-Cookie", "ETag")} == {
        "Location": "/x/1",
        "Set-Cookie": "a=b",
        "ETag": '"1"',
    }
    assert "secret" not in answer.headers


async def test_a_declared_status_without_content_has_no_body(edge: Edge) -> None:
    answer = await edge("POST", "/decorate", '{"initial": {"x-http-status": "204"}}')

    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize("status", ["500", "404", "100", "2000", "abc", "-20"])
async def test_a_service_can_declare_success_only(edge: Edge, status: str) -> None:
    answer = await edge("POST", "/decorate", json.dumps({"initial": {"x-http-status": status}}))

    assert (answer.status, json.loads(answer.body)["code"]) == (500, "internal")


async def test_head_answers_as_get_without_a_body(edge: Edge) -> None:
    answer = await edge("HEAD", "/v1/messages/a")

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len('{"stringValue":"a"}'))


async def test_options_answers_what_is_allowed(edge: Edge) -> None:
    answer = await edge("OPTIONS", "/v1/messages/a")

    assert (answer.status, answer.headers["Allow"], answer.body) == (204, "GET, HEAD, OPTIONS", b"")
    assert (await edge("OPTIONS", "/nope")).status == 404


@pytest.fixture(scope="module")
async def calling(descriptors: bytes) -> AsyncIterator[Edge]:
    """The probe behind an application that adds metadata and a deadline."""
    call = Call(metadata=[("x-request-id", "r-7"), ("token-bin", b"\x00\xff")], timeout=30.0, request_id="r-7")
    async with serving(descriptors, call=call) as edge:
        yield edge


async def test_metadata_and_deadline_of_the_call_reach_the_service(calling: Edge) -> None:
    inspection = json.loads((await calling("GET", "/inspect", X_Secret="s")).body)

    assert inspection["metadata"]["x-request-id"] == "r-7"
    assert inspection["metadata"]["token-bin"] == "00ff"
    assert "x-secret" not in inspection["metadata"]
    assert 0 < inspection["timeRemaining"] < 31  # gRPC rounds up on its way


async def test_without_a_timeout_there_is_no_deadline(edge: Edge) -> None:
    assert "timeRemaining" not in json.loads((await edge("GET", "/inspect")).body)
