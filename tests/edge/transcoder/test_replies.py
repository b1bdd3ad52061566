"""What becomes of a reply, and what a service says about its response."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf import json_format

from edge.transcoder import Call, GrpcUpstream, Options, Refused, Transcoder
from edge.transcoder.bodies import body_printer
from edge.transcoder.json_codec import JsonCodec
from edge.transcoder.metadata import RESPONSE_HEADERS, headers_of
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


FULL: dict[str, Any] = {
    "stringValue": "s",
    "int32Value": -1,
    "int64Value": "9007199254740993",
    "uint64Value": "18446744073709551615",
    "boolValue": True,
    "floatValue": 1.5,
    "doubleValue": "NaN",
    "bytesValue": "AP8=",
    "color": "GREEN",
    "child": {"text": "a"},
    "repeatedString": ["a", "b"],
    "repeatedColor": ["RED", 7],
    "repeatedChild": [{"text": "a"}, {}],
    "m": {"a": "b"},
    "mapInt32Child": {"1": {"number": 2}},
    "optInt32": 0,
    "int32Wrapper": 0,
    "stringWrapper": "",
    "bytesWrapper": "YQ==",
    "timestamp": "2026-01-01T00:00:00Z",
    "duration": "1.500s",
    "mask": "a,b.c",
    "any": {"@type": "type.googleapis.com/probe.v1.Child", "text": "a"},
    "jsonValue": None,
    "struct": {"a": [1, None]},
    "listValue": [True, "x"],
    "renamedField": "r",
    "choiceText": "",
    "repeatedTimestamp": ["2026-01-01T00:00:00Z"],
}


@pytest.mark.parametrize("name", FULL)
def test_a_field_of_any_kind_can_be_the_response_body(transcoder: Transcoder, messages: Messages, name: str) -> None:
    probe = transcoder.registry.message("probe.v1.Probe")
    assert probe is not None
    field = next(field for field in probe.fields if field.json_name == name)
    reply = json_format.ParseDict(FULL, messages["probe.v1.Probe"](), descriptor_pool=messages.pool)

    printed = body_printer(JsonCodec(transcoder.registry), probe, field)(reply.SerializeToString())

    assert (printed.content_type, json.loads(printed.data)) == ("application/json", FULL[name])


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


@pytest.mark.parametrize("content_type", ["text/html%0D%0ASet-Cookie:%20a=b", "text/html%00", "text/%C3%A9"])
async def test_a_raw_body_cannot_bring_a_header_of_its_own(edge: Edge, content_type: str) -> None:
    answer = await edge("GET", f"/files/a?content.contentType={content_type}")

    assert (answer.status, json.loads(answer.body)["code"]) == (500, "internal")
    assert "Set-Cookie" not in answer.headers


def test_what_a_raw_body_says_beside_its_data_is_left_out(transcoder: Transcoder, messages: Messages) -> None:
    route = transcoder.match("POST", "/mirror").route
    reply = messages["google.api.HttpBody"](content_type="text/x", data=b"a")
    reply.extensions.add(type_url="type.googleapis.com/nope.Nope", value=b"\xff")

    assert route.print_body(reply.SerializeToString()) == ("text/x", b"a")


async def test_head_of_a_raw_body_tells_its_length_and_type(edge: Edge) -> None:
    path = "/files/a?content.contentType=image/png&content.data=AAH_"
    get, head = await edge("GET", path), await edge("HEAD", path)

    assert (get.body, head.body) == (b"\x00\x01\xff", b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Cache-Control"):
        assert head.headers[name] == get.headers[name]
    assert (await edge("GET", path, If_None_Match=get.headers["ETag"])).status == 304


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


async def test_every_header_that_an_answer_may_need_can_be_declared(edge: Edge) -> None:
    declared = {
        "Cache-Control": "public, max-age=60",
        "Content-Disposition": "attachment; filename*=UTF-8''%C3%A9.pdf",
        "Content-Language": "en",
        "Deprecation": "@1767225600",
        "Link": "</next>; rel=next",
        "Retry-After": "5",
        "Sunset": "Thu, 31 Dec 2026 23:59:59 GMT",
    }

    answer = await edge("POST", "/decorate", json.dumps({"initial": {k.lower(): v for k, v in declared.items()}}))

    assert {name: answer.headers[name] for name in declared} == declared


async def test_of_two_values_the_later_counts_or_both_where_the_header_is_a_list(edge: Edge) -> None:
    headers = ["set-cookie=a=1", "set-cookie=b=2", "link=</a>", "link=</a>", "location=/1", 'etag=W/"1"']
    trailing = {"set-cookie": "b=2", "location": "/2", "etag": 'W/"2"', "x-http-status": "202", "link": "</b>"}

    answer = await edge("POST", "/decorate", json.dumps({"headers": headers, "trailing": trailing}))

    names = ("Set-Cookie", "Link", "Location", "ETag")
    assert answer.status == 202
    assert {name: answer.headers.getall(name) for name in names} == {
        "Set-Cookie": ["a=1", "b=2"],
        "Link": ["</a>", "</b>"],
        "Location": ["/2"],
        "ETag": ['W/"2"'],
    }


async def test_a_service_can_redirect(edge: Edge) -> None:
    path = b"/decorate?headers=x-http-status%3D303&headers=location%3D%2Felsewhere"

    answer = await edge.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 303 ")
    assert b"\r\nLocation: /elsewhere\r\n" in answer


async def test_an_error_keeps_the_declared_headers_that_suit_it(edge: Edge) -> None:
    initial = {
        "set-cookie": "a=b",
        "link": "</help>",
        "retry-after": "9",
        "x-http-status": "201",
        "cache-control": "public",
        "content-disposition": "attachment",
    }

    answer = await edge("POST", "/decorate", json.dumps({"initial": initial, "failure": {"code": 5}}))

    assert (answer.status, answer.headers["Set-Cookie"], answer.headers["Link"]) == (404, "a=b", "</help>")
    assert answer.headers.getall("Retry-After") == ["9"]
    assert answer.headers.getall("Cache-Control") == ["no-store"]
    assert "Content-Disposition" not in answer.headers


async def test_a_stream_declares_its_status_and_headers_ahead(edge: Edge) -> None:
    path = "/s/count?count=1&headers=x-http-status%3D202&headers=set-cookie%3Da%3Db&headers=cache-control%3Dpublic"

    answer = await edge("GET", path)

    assert (answer.status, answer.headers["Set-Cookie"]) == (202, "a=b")
    assert answer.headers.getall("Cache-Control") == ["no-cache, no-transform"]


async def test_a_stream_cannot_declare_a_status_without_content(edge: Edge) -> None:
    answer = await edge("GET", "/s/count?count=1&headers=x-http-status%3D204")

    assert (answer.status, json.loads(answer.body)["code"]) == (500, "internal")


async def test_binary_metadata_is_shown_in_base64(descriptors: bytes) -> None:
    async with serving(descriptors, Options(response_headers={"digest-bin": "X-Digest"})) as edge:
        answer = await edge("POST", "/decorate", '{"headers": ["digest-bin=a\\r\\nb", "digest-bin=c"]}')

    assert answer.headers.getall("X-Digest") == ["YQ0KYg==", "Yw=="]


@pytest.mark.parametrize("value", ["/a\r\nSet-Cookie: a=b", "/\x7f", "/é", "/\u0100"])
def test_what_is_no_header_value_never_becomes_a_header(value: str) -> None:
    with pytest.raises(Refused, match="no header value") as refused:
        headers_of([("location", value)], RESPONSE_HEADERS)

    assert refused.value.problem.status == 500


@pytest.mark.parametrize("name", ["Content-Type", "content-length", "Transfer-Encoding", "Connection", "Date"])
def test_a_header_that_frames_the_message_cannot_be_left_to_services(descriptors: bytes, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Transcoder(descriptors, GrpcUpstream({}), Options(response_headers={"x": name}))


async def test_a_declared_status_without_content_has_no_body(edge: Edge) -> None:
    answer = await edge("POST", "/decorate", '{"initial": {"x-http-status": "204"}}')

    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize("status", ["500", "404", "100", "2000", "abc", "-20"])
async def test_a_service_can_declare_success_only(edge: Edge, status: str) -> None:
    answer = await edge("POST", "/decorate", json.dumps({"initial": {"x-http-status": status}}))

    assert (answer.status, json.loads(answer.body)["code"]) == (500, "internal")


@pytest.mark.parametrize(
    ("code", "declared", "status"),
    [(3, "422", 422), (9, "402", 402), (3, "201", 400), (3, "503", 400), (3, "4x2", 400), (13, "422", 500)],
)
async def test_a_service_declares_which_mistake_of_the_client_s_it_was(
    edge: Edge, code: int, declared: str, status: int
) -> None:
    failing = {"trailing": {"x-http-status": declared}, "failure": {"code": code, "message": "no"}}

    answer = await edge("POST", "/decorate", json.dumps(failing))

    document = json.loads(answer.body)
    assert (answer.status, document["status"]) == (status, status)


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
