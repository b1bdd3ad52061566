"""Answers that the client has already, and answers in the coding that it wants (RFC 9110, sections 12.5.3 and 13)."""

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from edge.transcoder import Options
from tests.edge.transcoder.probe import Answer, Edge, serving

LONG = "/v1/messages/" + "long-" * 400
CODINGS = ["zstd", "br", "gzip"]


def decorated(*headers: str, text: str = "") -> str:
    return f"/decorate?text={text}&" + "&".join(f"headers={quote(header)}" for header in headers)


def vary(answer: Answer) -> set[str]:
    return set(", ".join(answer.headers.getall("Vary", ())).split(", ")) - {""}


async def test_what_the_client_has_is_not_sent_again(edge: Edge) -> None:
    first = await edge("GET", LONG)

    again = await edge("GET", LONG, If_None_Match=first.headers["ETag"])

    assert first.headers["ETag"].startswith('W/"')
    assert (again.status, again.body) == (304, b"")
    assert {name: again.headers[name] for name in ("ETag", "Cache-Control", "Vary")} == {
        "ETag": first.headers["ETag"],
        "Cache-Control": "private, no-cache",
        "Vary": "Accept-Encoding",
    }
    assert {"Content-Type", "Content-Length", "Content-Encoding"}.isdisjoint(again.headers)


async def test_another_answer_has_another_tag(edge: Edge) -> None:
    one, other = await edge("GET", "/v1/messages/a"), await edge("GET", "/v1/messages/b")

    assert one.headers["ETag"] != other.headers["ETag"]
    assert (await edge("GET", "/v1/messages/b", If_None_Match=one.headers["ETag"])).status == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ('"v7"', 304),
        ('W/"v7"', 304),
        ('"v6", W/"v7" , "v8"', 304),
        ('"a,b","v7"', 304),
        ("*", 304),
        ('"v"', 200),
        ('"v6,v7"', 200),
        ("v7", 200),
        ('"v7', 200),
        ("", 200),
    ],
)
async def test_a_declared_tag_is_compared_weakly(edge: Edge, given: str, status: int) -> None:
    answer = await edge("GET", decorated('etag="v7"'), If_None_Match=given)

    assert (answer.status, answer.headers["ETag"]) == (status, '"v7"')


async def test_every_if_none_match_header_counts(edge: Edge) -> None:
    path = decorated('etag="v7"')
    asked = f'GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIf-None-Match: "v6"\r\nIf-None-Match: "v7"\r\n\r\n'

    head, _, body = (await edge.raw(asked.encode())).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 304 ")
    assert (b"content-length" in head.lower(), body) == (False, b"")


async def test_a_304_keeps_what_the_service_declared_but_nothing_of_the_content(edge: Edge) -> None:
    path = decorated('etag="1"', "set-cookie=a=b", "link=</x>", "content-language=en", "cache-control=max-age=60")

    answer = await edge("GET", path, If_None_Match='"1"')

    assert (answer.status, answer.headers["Set-Cookie"], answer.headers["Link"]) == (304, "a=b", "</x>")
    assert answer.headers["Cache-Control"] == "max-age=60"
    assert "Content-Language" not in answer.headers


async def test_a_304_does_not_lose_a_policy_whose_name_begins_like_a_header_of_the_content(descriptors: bytes) -> None:
    options = Options(response_headers={"policy": "Content-Security-Policy"})
    async with serving(descriptors, options) as edge:
        answer = await edge("GET", decorated("policy=default-src 'self'"), If_None_Match="*")

    assert (answer.status, answer.headers["Content-Security-Policy"]) == (304, "default-src 'self'")


async def test_only_a_successful_read_is_conditional(edge: Edge) -> None:
    posted = await edge("POST", "/b/star", "{}", If_None_Match="*")
    created = await edge("GET", decorated("x-http-status=201"), If_None_Match="*")
    missing = await edge("GET", "/nope", If_None_Match="*")

    assert [answer.status for answer in (posted, created, missing)] == [200, 201, 404]
    assert ["ETag" in answer.headers for answer in (posted, created, missing)] == [False, False, False]


async def test_head_is_conditional_as_get_is(edge: Edge) -> None:
    first = await edge("GET", "/v1/messages/a")

    answer = await edge("HEAD", "/v1/messages/a", If_None_Match=first.headers["ETag"])

    assert (answer.status, answer.headers["ETag"]) == (304, first.headers["ETag"])


async def test_caches_keep_no_error_and_nobody_else_s_answer(edge: Edge) -> None:
    assert (await edge("GET", "/v1/messages/a")).headers["Cache-Control"] == "private, no-cache"
    assert (await edge("GET", "/nope")).headers["Cache-Control"] == "no-store"
    assert (await edge("GET", decorated("cache-control=public"))).headers["Cache-Control"] == "public"


async def test_a_path_that_is_served_as_several_types_varies_by_accept(edge: Edge) -> None:
    assert vary(await edge("POST", "/s/chat", '{"count": 1}')) == {"Accept"}
    assert vary(await edge("GET", "/v1/messages/a")) == set()


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_long_answer_comes_in_the_coding_that_the_client_takes(edge: Edge, coding: str) -> None:
    plain = await edge("GET", LONG, Accept_Encoding="identity")

    answer = await edge("GET", LONG, Accept_Encoding=coding)

    assert (answer.headers["Content-Encoding"], answer.body) == (coding, plain.body)
    assert int(answer.headers["Content-Length"]) < len(plain.body) / 4
    assert answer.headers["ETag"] == plain.headers["ETag"]
    assert vary(answer) == vary(plain) == {"Accept-Encoding"}


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, br", "br"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("zstd;q=0, br;q=0, *", "gzip"),
        ("*", "zstd"),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0", None),
        ("deflate, compress", None),
        ("gzip;q=high", None),
        ("", None),
        ("identity;q=0", None),
        ("*;q=0", None),
    ],
)
async def test_the_best_coding_that_the_client_takes_is_used(edge: Edge, accepted: str, coding: str | None) -> None:
    answer = await edge("GET", LONG, Accept_Encoding=accepted)

    assert (answer.status, answer.headers.get("Content-Encoding")) == (200, coding)
    assert json.loads(answer.body)["stringValue"].startswith("long-")


async def test_without_accept_encoding_an_answer_is_plain(edge: Edge) -> None:
    answer = await edge.raw(f"GET {LONG} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert b"content-encoding" not in answer.lower()
    assert b'{"stringValue":"long-long-' in answer


async def test_a_small_answer_is_compressed_only_for_a_client_that_takes_no_plain_one(edge: Edge) -> None:
    plain = await edge("GET", "/v1/messages/a", Accept_Encoding="gzip")
    forced = await edge("GET", "/v1/messages/a", Accept_Encoding="gzip, identity;q=0")

    assert ("Content-Encoding" in plain.headers, vary(plain)) == (False, set())
    assert (forced.headers["Content-Encoding"], forced.body) == ("gzip", plain.body)


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_large_answer_is_whole(edge: Edge, coding: str) -> None:
    body = json.dumps({"stringValue": "é" * 200_000}, ensure_ascii=False, separators=(",", ":"))

    answer = await edge("POST", "/b/star", body, Accept_Encoding=coding)

    assert (answer.headers["Content-Encoding"], answer.text) == (coding, body)


async def test_head_tells_the_headers_of_a_compressed_get(edge: Edge) -> None:
    get = await edge("GET", LONG, Accept_Encoding="br")

    head = await edge("HEAD", LONG, Accept_Encoding="br")

    same = ("Content-Encoding", "Content-Length", "Content-Type", "ETag", "Vary", "Cache-Control")
    assert {name: head.headers[name] for name in same} == {name: get.headers[name] for name in same}
    assert head.body == b""


async def test_a_long_problem_is_compressed_too(edge: Edge) -> None:
    failure = json.dumps({"code": 3, "message": "no " * 1000})

    answer = await edge("POST", "/fail", failure, Accept_Encoding="gzip")

    assert (answer.status, answer.headers["Content-Encoding"]) == (400, "gzip")
    assert json.loads(answer.body)["status"] == 400


@pytest.mark.parametrize(
    ("content_type", "compressed"),
    [
        ("text/csv; charset=utf-8", True),
        ("image/svg+xml", True),
        ("application/vnd.api+json", True),
        ("application/json", True),
        ("image/png", False),
        ("application/zip", False),
        ("text/event-stream", False),
        ("application/jsonish", False),
        ("", False),
    ],
)
async def test_a_raw_answer_is_compressed_by_its_type(edge: Edge, content_type: str, compressed: bool) -> None:
    answer = await edge("POST", "/mirror", b"0" * 2000, Content_Type=content_type, Accept_Encoding="gzip")

    assert answer.body == b"0" * 2000
    assert ("Content-Encoding" in answer.headers) == ("Accept-Encoding" in vary(answer)) == compressed


@pytest.mark.parametrize("header", ["set-cookie=session=1", "cache-control=no-transform", 'etag="exact-bytes"'])
async def test_an_answer_with_a_new_secret_or_that_must_not_change_is_left_plain(edge: Edge, header: str) -> None:
    answer = await edge("GET", decorated(header, text="x" * 2000), Accept_Encoding="gzip")

    assert ("Content-Encoding" in answer.headers, vary(answer)) == (False, set())


async def test_a_weak_declared_tag_goes_with_compression(edge: Edge) -> None:
    answer = await edge("GET", decorated('etag=W/"7"', text="x" * 2000), Accept_Encoding="gzip")

    assert (answer.headers["ETag"], answer.headers["Content-Encoding"]) == ('W/"7"', "gzip")


async def test_an_answer_without_content_is_not_compressed(edge: Edge) -> None:
    answer = await edge("GET", decorated("x-http-status=204", text="x" * 2000), Accept_Encoding="gzip, identity;q=0")

    assert (answer.status, answer.body, "Content-Encoding" in answer.headers) == (204, b"", False)


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "application/json"])
async def test_a_stream_is_never_compressed(edge: Edge, accept: str) -> None:
    answer = await edge("GET", "/s/count?count=500", Accept=accept, Accept_Encoding="gzip, identity;q=0")

    assert "Content-Encoding" not in answer.headers
    assert '{"value":500}' in answer.text


@pytest.fixture(scope="module")
async def uncompressed(descriptors: bytes) -> AsyncIterator[Edge]:
    async with serving(descriptors, Options(compression=False)) as edge:
        yield edge


async def test_compression_can_be_turned_off(uncompressed: Edge) -> None:
    answer = await uncompressed("GET", LONG, Accept_Encoding="gzip")

    assert ("Content-Encoding" in answer.headers, vary(answer)) == (False, set())
