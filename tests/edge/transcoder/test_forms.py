"""Files and fields from multipart/form-data, and bodies of a type that a route does not take."""

import json
from typing import Any

import pytest
from aiohttp import FormData

from edge.transcoder import GrpcUpstream, Options, Transcoder
from tests.edge.transcoder.probe import Edge, Messages

PNG = b"\x89PNG\r\n--\x00\xff\r\n"


def form(*files: tuple[str, bytes, str], **texts: str) -> FormData:
    """A form with files (name, data, content type) and texts."""
    data = FormData(default_to_multipart=True)
    for name, text in texts.items():
        data.add_field(name, text)
    for name, content, content_type in files:
        data.add_field(name, content, content_type=content_type, filename="é.png")
    return data


def sent(edge: Edge, messages: Messages) -> Any:
    return messages["probe.v1.Parcel"].FromString(edge.seen.requests[-1])


@pytest.mark.parametrize("name", ["content", "file", "any name"])
async def test_a_file_becomes_the_raw_body_with_its_type(edge: Edge, name: str) -> None:
    answer = await edge("PUT", "/files/a", form((name, PNG, "image/png")))

    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "image/png", PNG)


async def test_a_part_named_for_the_field_needs_no_file_name(edge: Edge) -> None:
    answer = await edge("PUT", "/files/a", form(content="text"))

    assert (answer.status, answer.body) == (200, b"text")


async def test_a_file_becomes_the_message_if_that_is_a_raw_body(edge: Edge) -> None:
    answer = await edge("POST", "/mirror", form(("any", PNG, "image/png")))

    assert (answer.headers["Content-Type"], answer.body) == ("image/png", PNG)


async def test_the_other_parts_are_fields_as_in_the_query(edge: Edge, messages: Messages) -> None:
    upload = form(("file", PNG, "image/png"), sentBy="é", name="mallory")
    upload.add_field("stamps", "1")
    upload.add_field("stamps", "2")
    upload.add_field("label.text", "fragile")

    await edge("PUT", "/parcels/a?label.number=3", upload)

    parcel = sent(edge, messages)
    assert (parcel.data, parcel.sent_by, list(parcel.stamps)) == (PNG, "é", [1, 2])
    assert (parcel.label.text, parcel.label.number) == ("fragile", 3)
    assert parcel.name == "a"


async def test_files_go_to_the_fields_that_they_are_named_for(edge: Edge, messages: Messages) -> None:
    files = [
        ("content", PNG, "image/png"),
        ("more_data", b"1", "a/b"),
        ("moreData", b"2", "a/b"),
        ("data", b"3", "a/b"),
    ]

    await edge("POST", "/parcels/a", form(*files, sent_by="me"))

    parcel = sent(edge, messages)
    assert (parcel.content.content_type, parcel.content.data) == ("image/png", PNG)
    assert (list(parcel.more_data), parcel.data, parcel.sent_by, parcel.name) == ([b"1", b"2"], b"3", "me", "a")


async def test_bytes_without_a_file_name_are_base64_as_in_the_query(edge: Edge, messages: Messages) -> None:
    await edge("POST", "/parcels/a", form(data="YQ"))

    assert sent(edge, messages).data == b"a"


@pytest.mark.parametrize("path", ["/parcels/a", "/files/a"])
async def test_a_large_file_arrives_whole(edge: Edge, path: str, messages: Messages) -> None:
    data = bytes(range(256)) * 3500

    answer = await edge("PUT", path, form(("file", data, "a/b")))

    assert answer.status == 200
    assert data in (answer.body, sent(edge, messages).data)


@pytest.mark.parametrize(
    ("method", "path", "upload", "field"),
    [
        ("PUT", "/files/a", form(sentBy="me"), "content"),
        ("PUT", "/parcels/a", form(), "data"),
        ("PUT", "/files/a", form(("content", PNG, "a/b"), ("other", PNG, "a/b")), "other"),
        ("PUT", "/files/a", form(("file", PNG, "a/b"), nope="x"), "nope"),
        ("PUT", "/files/a", form(("file", PNG, "a/b"), stamps="x"), "stamps"),
        ("POST", "/parcels/a", form(("data", PNG, "a/b"), ("data", PNG, "a/b")), "data"),
        ("POST", "/parcels/a", form(("nope", PNG, "a/b")), "nope"),
        ("POST", "/parcels/a", form(("sentBy", PNG, "a/b")), "sentBy"),
        ("POST", "/parcels/a", form(label="x"), "label"),
        ("POST", "/parcels/a", form(data="!"), "data"),
    ],
)
async def test_a_part_that_is_wrong_is_named(edge: Edge, method: str, path: str, upload: FormData, field: str) -> None:
    answer = await edge(method, path, upload)

    assert (answer.status, [error["field"] for error in json.loads(answer.body)["errors"]]) == (400, [field])


def part(head: bytes, data: bytes = b"a") -> bytes:
    return b"--x\r\n" + head + b"\r\n\r\n" + data + b"\r\n--x--\r\n"


NAMED = b'Content-Disposition: form-data; name="file"; filename="f"'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (part(NAMED), "multipart/form-data"),
        (part(NAMED), "multipart/form-data; boundary="),
        (part(NAMED), "multipart/form-data; boundary=" + "x" * 300),
        (part(NAMED)[:-6], "multipart/form-data; boundary=x"),
        (part(NAMED)[:20], "multipart/form-data; boundary=x"),
        (b"nothing", "multipart/form-data; boundary=x"),
        (part(b"Content-Type: a/b"), "multipart/form-data; boundary=x"),
        (part(b"Content-Disposition: attachment; name=file"), "multipart/form-data; boundary=x"),
        (part(b"bad header"), "multipart/form-data; boundary=x"),
        (part(b'Content-Disposition: form-data; name="sentBy"', b"\xff"), "multipart/form-data; boundary=x"),
        (b"".join(part(NAMED)[:-6] + b"\r\n" for _ in range(200)), "multipart/form-data; boundary=x"),
    ],
)
async def test_a_form_that_cannot_be_read_is_a_bad_request(edge: Edge, body: bytes, content_type: str) -> None:
    for method, path in (("PUT", "/files/a"), ("POST", "/parcels/a")):
        answer = await edge(method, path, body, Content_Type=content_type)

        assert (answer.status, json.loads(answer.body)["status"]) == (400, 400)


def test_what_is_no_text_in_the_type_of_a_file_does_not_harm(transcoder: Transcoder, messages: Messages) -> None:
    match = transcoder.match("PUT", "/files/a")
    body = part(NAMED + b"\r\nContent-Type: a/\xff")

    data = match.route.bind(match.segments, "", body, "multipart/form-data; boundary=x")

    assert messages["probe.v1.Parcel"].FromString(data).content.content_type == "a/\ufffd"


def test_unknown_parts_can_be_ignored(descriptors: bytes, messages: Messages) -> None:
    transcoder = Transcoder(descriptors, GrpcUpstream({}), Options(ignore_unknown=True))
    match = transcoder.match("POST", "/parcels/a")
    body = part(b'Content-Disposition: form-data; name="nope"; filename="f"', b"\xff")

    data = match.route.bind(match.segments, "", body, "multipart/form-data; boundary=x")

    assert messages["probe.v1.Parcel"].FromString(data) == messages["probe.v1.Parcel"](name="a")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=UTF-8", 200),
        ("application/merge-patch+json", 200),
        ("application/x-www-form-urlencoded", 200),
        ("application/octet-stream", 200),
        ("text/plain;charset=us-ascii", 200),
        ("nonsense", 200),
        ("application/json; charset=utf-16", 415),
        ("image/png", 415),
        ("Multipart/Form-Data; boundary=x", 415),
        ("multipart/mixed; boundary=x", 415),
    ],
)
async def test_json_is_read_whatever_it_is_called_but_for_what_it_cannot_be(
    edge: Edge, content_type: str, status: int
) -> None:
    answer = await edge("PUT", "/b/text", '"a"', Content_Type=content_type)

    assert answer.status == status


async def test_a_refused_type_is_told_what_is_taken(edge: Edge) -> None:
    text = await edge("PUT", "/b/text", b"x", Content_Type="image/png")
    parcel = await edge("POST", "/parcels/a", b"x", Content_Type="image/png")

    assert (text.headers["Accept"], json.loads(text.body)["code"]) == ("application/json", "unsupported_media_type")
    assert parcel.headers["Accept"] == "application/json, multipart/form-data"


def test_a_route_tells_which_bodies_it_takes(transcoder: Transcoder) -> None:
    taken = {
        path: transcoder.match(method, path).route.bind.body_types
        for method, path in (("PUT", "/b/text"), ("PUT", "/files/a"), ("PUT", "/parcels/a"), ("GET", "/q"))
    }

    assert taken == {
        "/b/text": ("application/json",),
        "/files/a": ("*/*", "multipart/form-data"),
        "/parcels/a": ("application/json", "multipart/form-data"),
        "/q": (),
    }
