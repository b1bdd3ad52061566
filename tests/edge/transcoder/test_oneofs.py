"""Of a oneof one member can be given, wherever the request says it."""

import json
from collections.abc import Callable

import pytest

from edge.transcoder import GrpcUpstream, Refused, RuleError, Transcoder, openapi
from tests.edge.transcoder.probe import Messages

Compile = Callable[[str], bytes]

MESSAGES = """
    message Inner { string name = 1; oneof kind { string text = 2; int32 number = 3; } }
    message Choice {
      string name = 1;
      oneof kind { string text = 2; int32 number = 3; bytes data = 4; google.api.HttpBody file = 5; Inner inner = 6; }
    }
"""
SERVICE = """
    service S {
      rpc Get(Choice) returns (Choice) {
        option (google.api.http) = {
          get: "/q/{text}"
          additional_bindings {get: "/q/inner/{inner.text}"}
          additional_bindings {get: "/q"}
        };
      }
      rpc Put(Choice) returns (Choice) {
        option (google.api.http) = {
          put: "/b/{name}" body: "inner"
          additional_bindings {post: "/f" body: "*"}
          additional_bindings {post: "/f/{text}" body: "*"}
          additional_bindings {put: "/f/{name}" body: "file"}
        };
      }
    }
"""


@pytest.fixture
def descriptors(compile_proto: Compile) -> bytes:
    return compile_proto(MESSAGES + SERVICE)


@pytest.fixture
def transcoder(descriptors: bytes) -> Transcoder:
    return Transcoder(descriptors, GrpcUpstream({}))


def bound(transcoder: Transcoder, method: str, target: str, body: bytes = b"", content_type: str = "") -> bytes:
    match = transcoder.match(method, target)
    return match.route.bind(match.segments, match.query, body, content_type)


@pytest.mark.parametrize(
    ("method", "target", "body", "field"),
    [
        ("GET", "/q?text=a&number=1", b"", "number"),
        ("GET", "/q/a?number=1", b"", "number"),
        ("GET", "/q/a?inner.name=x", b"", "inner.name"),
        ("GET", "/q/inner/a?text=x", b"", "text"),
        ("GET", "/q/inner/a?inner.number=1", b"", "inner.number"),
        ("PUT", "/b/n?text=x", b'{"text": "a"}', "text"),
        ("PUT", "/b/n?text=x", b"", "text"),
    ],
)
def test_a_parameter_for_another_member_than_the_bound_one_is_refused(
    transcoder: Transcoder, method: str, target: str, body: bytes, field: str
) -> None:
    with pytest.raises(Refused) as refused:
        bound(transcoder, method, target, body)

    assert refused.value.problem.status == 400
    assert [error.field for error in refused.value.problem.errors] == [field]
    assert "only one field of kind can be given" in refused.value.problem.detail


def test_a_parameter_for_the_bound_member_itself_changes_nothing(descriptors: bytes, transcoder: Transcoder) -> None:
    messages = Messages(descriptors)
    choice = messages["t.Choice"]

    assert choice.FromString(bound(transcoder, "GET", "/q/a?text=x&name=n")) == choice(text="a", name="n")
    assert choice.FromString(bound(transcoder, "GET", "/q/inner/a?inner.name=n")) == choice(
        inner=messages["t.Inner"](text="a", name="n")
    )


FILE = b'Content-Disposition: form-data; name="%s"; filename="f"'
TEXT = b'Content-Disposition: form-data; name="%s"'


def form(*heads: bytes) -> bytes:
    return b"".join(b"--x\r\n" + head + b"\r\n\r\n1\r\n" for head in heads) + b"--x--\r\n"


@pytest.mark.parametrize(
    ("method", "target", "heads", "field"),
    [
        ("POST", "/f", [FILE % b"data", FILE % b"file"], "file"),
        ("POST", "/f", [TEXT % b"number", FILE % b"data"], "number"),
        ("POST", "/f", [TEXT % b"text", TEXT % b"number"], "number"),
        ("POST", "/f/a", [FILE % b"data"], "data"),
        ("PUT", "/f/n", [FILE % b"file", TEXT % b"number"], "number"),
        ("POST", "/f", [TEXT % b"nope"], "nope"),
    ],
)
def test_a_form_with_two_members_is_refused_and_the_part_is_named(
    transcoder: Transcoder, method: str, target: str, heads: list[bytes], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        bound(transcoder, method, target, form(*heads), "multipart/form-data; boundary=x")

    (error,) = refused.value.problem.errors
    assert (refused.value.problem.status, error.field) == (400, field)
    assert error.code in ("invalid_part", "unknown_part")
    assert "parameter" not in error.detail


@pytest.mark.parametrize("rule", ['get: "/x/{text}/{number}"', 'put: "/x/{text}" body: "inner"'])
def test_a_rule_that_binds_two_members_cannot_be_served(compile_proto: Compile, rule: str) -> None:
    service = "service S { rpc Get(Choice) returns (Choice) { option (google.api.http) = {%s}; } }"
    with pytest.raises(RuleError, match=r"t\.S\.Get: .* only one field of kind"):
        Transcoder(compile_proto(MESSAGES + service % rule), GrpcUpstream({}))


def test_the_document_lists_no_parameter_that_would_be_refused(descriptors: bytes, transcoder: Transcoder) -> None:
    about = openapi.About(title="t", version="1")
    paths = json.loads(openapi.document(descriptors, transcoder.routes, about))["paths"]

    names = {
        path: {found["name"] for found in paths[path][method]["parameters"] if found.get("in") == "query"}
        for path, method in (("/q/{text}", "get"), ("/q/inner/{inner.text}", "get"), ("/b/{name}", "put"))
    }
    assert names["/q/{text}"] == {"name"}
    assert "inner.name" in names["/q/inner/{inner.text}"]
    assert not {"text", "number", "inner.number"} & names["/q/inner/{inner.text}"]
    assert names["/b/{name}"] == set()
