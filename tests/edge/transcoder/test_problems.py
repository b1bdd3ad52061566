"""Errors as problem documents (RFC 9457)."""

import gzip
import json
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import brotli
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from edge.transcoder import Call, Options, problem_of
from edge.transcoder.statuses import json_path
from tests.edge.transcoder.probe import Edge, serving


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        (1, 499, "cancelled"),
        (2, 500, "unknown"),
        (3, 400, "invalid_argument"),
        (4, 504, "deadline_exceeded"),
        (5, 404, "not_found"),
        (6, 409, "already_exists"),
        (7, 403, "permission_denied"),
        (8, 429, "resource_exhausted"),
        (9, 400, "failed_precondition"),
        (10, 409, "aborted"),
        (11, 400, "out_of_range"),
        (12, 501, "unimplemented"),
        (13, 500, "internal"),
        (14, 503, "unavailable"),
        (15, 500, "data_loss"),
        (16, 401, "unauthenticated"),
    ],
)
async def test_every_code_has_its_http_status(edge: Edge, code: int, status: int, name: str) -> None:
    answer = await edge("POST", "/fail", json.dumps({"code": code, "message": "because"}))

    problem = json.loads(answer.body)
    assert answer.status == problem["status"] == status
    assert problem["code"] == name
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_problem_says_what_where_and_which_request(edge: Edge) -> None:
    answer = await edge("GET", "/nope?x=1")

    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no such path.",
        "instance": "/nope",
        "code": "not_found",
        "requestId": "r-1",
    }


def test_an_unknown_code_is_an_internal_error() -> None:
    problem = problem_of(42, "?")

    assert (problem.status, problem.code) == (500, "unknown")


async def test_a_wrong_method_says_which_are_right(edge: Edge) -> None:
    answer = await edge("DELETE", "/v1/messages/x")

    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert json.loads(answer.body)["code"] == "method_not_allowed"


async def test_what_cannot_be_accepted_is_said(edge: Edge) -> None:
    answer = await edge("GET", "/v1/messages/x", Accept="text/html")

    assert (answer.status, json.loads(answer.body)["code"]) == (406, "not_acceptable")


async def test_a_401_carries_a_challenge_and_no_message_in_a_header(edge: Edge) -> None:
    answer = await edge("POST", "/fail", '{"code": 16, "message": "who\\r\\nX-Evil: 1"}')

    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "X-Evil" not in answer.headers


async def test_a_body_over_the_limit_is_too_large(edge: Edge) -> None:
    answer = await edge("POST", "/b/star", BytesIO(b'{"stringValue":"' + b"x" * 2**20))

    assert (answer.status, json.loads(answer.body)["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(("method", "path"), [("POST", "/b/star"), ("PUT", "/files/a"), ("POST", "/t/sum/a")])
async def test_a_body_in_an_unknown_coding_is_refused_and_told_which_are_known(
    edge: Edge, method: str, path: str
) -> None:
    answer = await edge(method, path, "{}", Content_Encoding="compress")

    assert (answer.status, json.loads(answer.body)["code"]) == (415, "unsupported_content_coding")
    assert answer.headers["Accept-Encoding"] == "identity, gzip, deflate, br, zstd"


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("Identity", bytes)],
)
async def test_a_body_may_come_in_each_coding_that_is_told(
    edge: Edge, coding: str, encode: Callable[[bytes], bytes]
) -> None:
    answer = await edge("POST", "/b/star", encode(b'{"stringValue":"a"}'), Content_Encoding=coding)

    assert json.loads(answer.body) == {"stringValue": "a"}


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever(descriptors: bytes) -> None:
    async with serving(descriptors, Options(patience=0.01)) as edge:
        answer = await edge.raw(b"POST /b/star HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", until=b"}")

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_too_slow"' in answer


def details(*packed: Any) -> bytes:
    status = status_pb2.Status(code=3, message="no")
    for message in packed:
        if isinstance(message, Packed):
            status.details.append(message)
        else:
            status.details.add().Pack(message)
    result: bytes = status.SerializeToString()
    return result


def test_details_become_members_of_the_problem() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="line_items[0].unit_price", description="must be positive", reason="TOO_SMALL"
    )

    problem = problem_of(
        3,
        "no",
        details(
            error_details_pb2.ErrorInfo(reason="EMAIL_TAKEN", domain="x"),
            error_details_pb2.BadRequest(field_violations=[violation]),
            error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2, nanos=1)),
            error_details_pb2.Help(),
        ),
    )

    assert (problem.status, problem.code, problem.detail) == (400, "email_taken", "no")
    assert problem.headers["Retry-After"] == "3"
    assert problem.document()["errors"] == [
        {"field": "lineItems[0].unitPrice", "detail": "must be positive", "code": "too_small"}
    ]


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff\xff",
        details(Packed(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff")),
        details(Packed(type_url="type.googleapis.com/nope.Nope", value=b"\xff")),
        details(Packed(type_url="", value=b"\xff")),
    ],
)
def test_details_that_cannot_be_read_are_left_out(broken: bytes) -> None:
    problem = problem_of(5, "gone", broken)

    assert (problem.status, problem.code, problem.detail) == (404, "not_found", "gone")


def test_what_programs_may_want_to_know_is_shown_with_its_type() -> None:
    quota = error_details_pb2.QuotaFailure.Violation(subject="user:7", description="2 at a time")
    precondition = error_details_pb2.PreconditionFailure.Violation(type="TOS", subject="x", description="accept them")
    link = error_details_pb2.Help.Link(description="how", url="https://example.com/how")

    problem = problem_of(
        9,
        "no",
        details(
            error_details_pb2.ErrorInfo(reason="TOO_MANY", domain="example.com", metadata={"limit": "2"}),
            error_details_pb2.QuotaFailure(violations=[quota]),
            error_details_pb2.PreconditionFailure(violations=[precondition]),
            error_details_pb2.ResourceInfo(resource_type="book", resource_name="books/1", owner="user:7"),
            error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
            error_details_pb2.Help(links=[link]),
        ),
    )

    url = "type.googleapis.com/google.rpc."
    assert problem.document()["details"] == [
        {"@type": url + "ErrorInfo", "reason": "TOO_MANY", "domain": "example.com", "metadata": {"limit": "2"}},
        {"@type": url + "QuotaFailure", "violations": [{"subject": "user:7", "description": "2 at a time"}]},
        {
            "@type": url + "PreconditionFailure",
            "violations": [{"type": "TOS", "subject": "x", "description": "accept them"}],
        },
        {"@type": url + "ResourceInfo", "resourceType": "book", "resourceName": "books/1", "owner": "user:7"},
        {"@type": url + "RetryInfo", "retryDelay": "1.500s"},
        {"@type": url + "Help", "links": [{"description": "how", "url": "https://example.com/how"}]},
    ]


def test_debug_information_is_never_shown() -> None:
    debug = error_details_pb2.DebugInfo(stack_entries=["secret.py"], detail="secret")
    hidden = status_pb2.Status(code=13)
    hidden.details.add().Pack(debug)

    problem = problem_of(13, "no", details(debug, hidden, error_details_pb2.ErrorInfo(reason="BROKEN")))

    assert [detail["reason"] for detail in problem.document()["details"]] == ["BROKEN"]
    assert "secret" not in json.dumps(problem.document())


def test_words_for_people_replace_those_for_developers() -> None:
    localized = error_details_pb2.LocalizedMessage(locale="de-CH", message="Nicht gefunden")
    violation = error_details_pb2.BadRequest.FieldViolation(field="name", description="too long")
    violation.localized_message.CopyFrom(error_details_pb2.LocalizedMessage(locale="de-CH", message="zu lang"))
    request = error_details_pb2.BadRequest(field_violations=[violation])

    problem = problem_of(3, "row 7 is missing", details(localized, request))

    assert (problem.detail, problem.errors[0].detail) == ("Nicht gefunden", "zu lang")
    assert problem.headers["Content-Language"] == "de-CH"


def test_a_locale_that_is_none_becomes_no_header() -> None:
    localized = error_details_pb2.LocalizedMessage(locale="de\r\nSet-Cookie: a=b", message="x")

    assert "Content-Language" not in problem_of(3, "no", details(localized)).headers


async def test_a_service_s_own_details_travel_to_the_client_and_unreadable_ones_hide_nothing(edge: Edge) -> None:
    failure = {
        "code": 8,
        "message": "slow down",
        "details": [
            {"@type": "type.googleapis.com/probe.v1.Child", "text": "own"},
            {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"},
            {"@type": "type.googleapis.com/probe.v1.Probe", "mask": "a"},
        ],
    }

    answer = await edge("POST", "/fail", json.dumps(failure))

    problem = json.loads(answer.body)
    assert (answer.status, problem["detail"], problem["code"]) == (429, "slow down", "resource_exhausted")
    assert problem["details"] == failure["details"]


@pytest.mark.parametrize(
    "unreadable",
    [
        Packed(type_url="type.googleapis.com/nope.Nope", value=b"x"),
        Packed(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff"),
        Packed(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\x0a\x0b\x08" + b"\xff" * 9 + b"\x01"),
        Packed(type_url="no slash"),
        Packed(type_url="/"),
        Packed(type_url="type.googleapis.com/google.protobuf.Any", value=b"\x0a\x03a/b"),
    ],
)
def test_a_detail_that_cannot_be_shown_hides_no_other(unreadable: Packed) -> None:
    known = error_details_pb2.ErrorInfo(reason="GONE")

    problem = problem_of(5, "no", details(unreadable, known, unreadable))

    assert problem.code == "gone"
    assert [detail["reason"] for detail in problem.document()["details"] if "reason" in detail] == ["GONE"]


async def test_an_error_on_the_way_of_a_stream_shows_its_details(edge: Edge) -> None:
    detail = {"@type": "type.googleapis.com/probe.v1.Child", "text": "own"}
    failure = {"code": 5, "message": "gone", "details": [detail]}

    answer = await edge("POST", "/s/count", json.dumps({"count": 1, "failure": failure}), Accept="application/x-ndjson")

    assert json.loads(answer.text.splitlines()[-1])["error"]["details"] == [detail]


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ("email", "email"),
        ("display_name", "displayName"),
        ("a_b.c_d[3].e_f", "aB.cD[3].eF"),
        ('labels_map["my_key"].some_field', 'labelsMap["my_key"].someField'),
        ("line_2", "line2"),
        ("", ""),
    ],
)
def test_a_field_path_is_spelled_as_in_json(path: str, spelled: str) -> None:
    assert json_path(path) == spelled


async def test_a_service_that_is_away_is_not_available_and_shows_no_address(descriptors: bytes) -> None:
    async with serving(descriptors, call=Call(timeout=5)) as edge:
        await edge.stop_service()

        answer = await edge("GET", "/inspect")

    problem = json.loads(answer.body)
    assert (answer.status, problem["code"], problem["detail"]) == (503, "unavailable", "The service is not available.")


async def test_a_call_that_takes_too_long_is_ended(descriptors: bytes) -> None:
    async with serving(descriptors, call=Call(timeout=0.05)) as edge:
        answer = await edge("GET", "/hang")

    assert (answer.status, json.loads(answer.body)["code"]) == (504, "deadline_exceeded")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/v1/messages/\xff", 400),
        (b"/v1/messages/\xc3\xa9", 400),
        (b"http://elsewhere/v1/messages/a", 200),
        (b"/q?optString=\xff", 400),
        (b"//v1/messages/a", 404),
        (b"*", 400),
    ],
)
async def test_a_strange_request_target_gets_a_clear_answer(edge: Edge, target: bytes, status: int) -> None:
    answer = await edge.raw(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert answer.split(b" ")[1] == str(status).encode()


def test_a_message_that_names_a_field_names_it_as_json_does() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="page_size", description="must be positive")

    problem = problem_of(
        3, "page_size: must be positive", details(error_details_pb2.BadRequest(field_violations=[violation]))
    )

    assert problem.detail == "pageSize: must be positive"


def test_a_deadline_that_passed_is_said_in_words() -> None:
    assert problem_of(4, "Deadline Exceeded").detail == "The service did not answer in time."
