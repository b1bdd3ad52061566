"""Headers to metadata and deadlines, and gRPC's own rules for metadata."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict

from edge.transcoder import Call, Forwarding, Refused, call_of, timeout_of
from edge.transcoder.forwarding import PREFIX
from tests.edge.transcoder.probe import Edge, serving

LONGEST = 60.0


@pytest.fixture(scope="module")
async def edge(descriptors: bytes) -> AsyncIterator[Edge]:
    forwarding = Forwarding(["X-Trace", "Sign-Bin", "Authorization"], prefix=PREFIX)

    def make_call(request: web.BaseRequest) -> Call:
        return call_of(request, forwarding, timeout=LONGEST, request_id="r-1")

    async with serving(descriptors, make_call=make_call) as edge:
        yield edge


async def _inspect(edge: Edge, **headers: str) -> Any:
    answer = await edge("GET", "/inspect", **headers)
    assert answer.status == 200, answer.text
    return json.loads(answer.body)


async def _refused(edge: Edge, **headers: str) -> Any:
    answer = await edge("GET", "/inspect", **headers)
    assert answer.headers["Content-Type"] == "application/problem+json"
    return json.loads(answer.body)


async def test_a_header_of_the_list_is_metadata_and_another_is_not(edge: Edge) -> None:
    metadata = (await _inspect(edge, X_Trace="a b", X_Other="c", Cookie="session=1"))["metadata"]

    assert metadata["x-trace"] == "a b"
    assert not {"x-other", "cookie", "host"} & metadata.keys()


async def test_the_prefix_names_any_other_metadata(edge: Edge) -> None:
    metadata = (await _inspect(edge, Grpc_Metadata_Tenant="t-1"))["metadata"]

    assert metadata["tenant"] == "t-1"


@pytest.mark.parametrize("text", ["AP8=", "AP8", base64.urlsafe_b64encode(b"\x00\xff").decode()])
@pytest.mark.parametrize("name", ["Sign-Bin", "Grpc-Metadata-Sign-Bin"])
async def test_a_binary_header_is_base64(edge: Edge, name: str, text: str) -> None:
    metadata = (await _inspect(edge, **{name: text}))["metadata"]

    assert metadata["sign-bin"] == "00ff"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sign-Bin", "!!!"),
        ("X-Trace", "caf\u00e9"),
        ("X-Trace", "a\tb"),
        ("Grpc-Metadata-", "x"),
        ("Grpc-Metadata-a!b", "x"),
        ("Grpc-Metadata-Authorization", "Bearer forged"),
        ("Grpc-Metadata-Cookie", "session=1"),
        ("Grpc-Metadata-X-Forwarded-For", "10.0.0.1"),
        ("Grpc-Metadata-Forwarded", "for=10.0.0.1"),
        ("Grpc-Metadata-Host", "x"),
        ("Grpc-Metadata-Content-Type", "x"),
        ("Grpc-Metadata-Te", "trailers"),
        ("Grpc-Metadata-Connection", "x"),
        ("Grpc-Metadata-Grpc-Timeout", "1S"),
    ],
)
async def test_what_cannot_be_passed_on_is_refused_by_name(edge: Edge, name: str, value: str) -> None:
    problem = await _refused(edge, **{name: value})

    assert (problem["status"], problem["code"]) == (400, "invalid_header")
    assert [error["field"] for error in problem["errors"]] == [name]


async def test_a_header_of_this_connection_only_is_not_passed_on(edge: Edge) -> None:
    head = b"GET /inspect HTTP/1.1\r\nHost: x\r\nConnection: close, X-Trace\r\nX-Trace: hop\r\n\r\n"

    answer = await edge.raw(head)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"hop" not in answer


async def test_too_much_metadata_is_refused(edge: Edge) -> None:
    fits = await edge("GET", "/inspect", X_Trace="x" * 6000)
    problem = await _refused(edge, X_Trace="x" * 3500, Grpc_Metadata_More="x" * 3500)

    assert fits.status == 200
    assert (problem["status"], problem["code"]) == (431, "headers_too_large")


@pytest.mark.parametrize("name", ["Host", "Connection", "Content-Length", "TE", "grpc-timeout", "Upgrade", "a b"])
def test_a_list_with_a_header_that_never_passes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name.lower()):
        Forwarding([name])


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Grpc-Timeout": "1009m"}, 1.009),
        ({"Grpc-Timeout": "2S"}, 2),
        ({"Grpc-Timeout": "1M"}, 60),
        ({"Grpc-Timeout": "5000000u"}, 5),
        ({"Grpc-Timeout": "99999999n"}, 0.099999999),
        ({"Grpc-Timeout": "99999999H"}, LONGEST),
        ({"X-Request-Timeout": "1.5"}, 1.5),
        ({"X-Request-Timeout": "10000"}, LONGEST),
        ({"X-Request-Timeout": "3", "Grpc-Timeout": "2S"}, 2),
        ({}, LONGEST),
    ],
)
def test_the_client_may_wait_less_than_the_longest(headers: dict[str, str], seconds: float) -> None:
    assert timeout_of(CIMultiDict(headers), LONGEST) == pytest.approx(seconds)


def test_without_a_longest_the_client_says_it_all_within_what_grpc_can_count() -> None:
    assert timeout_of(CIMultiDict(), None) is None
    assert timeout_of(CIMultiDict({"Grpc-Timeout": "99999999H"}), None) == 1e8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Grpc-Timeout", value)
        for value in ("10s", "1_0S", "100000007n", "S", "", "-1S", "1.5S", "\u0661S", "1 S", "1S1S", "5")
    ]
    + [("X-Request-Timeout", value) for value in ("", "-1", "1e3", ".5", "1.", "NaN", "1_0", "0x1", "\u0661", "1s")],
)
def test_a_timeout_that_cannot_be_read_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(Refused) as refused:
        timeout_of(CIMultiDict({name: value}), LONGEST)

    assert refused.value.problem.status == 400
    assert [error.field for error in refused.value.problem.errors] == [name]


def test_a_timeout_is_given_once() -> None:
    with pytest.raises(Refused, match="given once"):
        timeout_of(CIMultiDict([("Grpc-Timeout", "1S"), ("Grpc-Timeout", "2S")]), None)


@pytest.mark.parametrize(("name", "value"), [("Grpc-Timeout", "0n"), ("X-Request-Timeout", "0.0")])
async def test_a_wait_that_is_over_is_a_504(edge: Edge, name: str, value: str) -> None:
    problem = await _refused(edge, **{name: value})

    assert (problem["status"], problem["code"]) == (504, "deadline_exceeded")


async def test_the_service_hears_of_the_deadline(edge: Edge) -> None:
    assert 0 < (await _inspect(edge, Grpc_Timeout="5S"))["timeRemaining"] < 6


async def test_a_client_that_waits_no_longer_is_a_504(edge: Edge) -> None:
    answer = await edge("GET", "/hang", Grpc_Timeout="50m")

    assert (answer.status, json.loads(answer.body)["code"]) == (504, "deadline_exceeded")


async def test_a_stream_that_the_client_limits_ends_in_time(edge: Edge) -> None:
    answer = await edge("GET", "/s/count?count=1&hang=true", Accept="text/event-stream", X_Request_Timeout="0.2")

    assert "event: error" in answer.text
    assert '"code":"deadline_exceeded"' in answer.text
