"""proto2 and editions: what they have and proto3 has not, bound and printed as google's own runtime reads it."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from edge.transcoder import GrpcUpstream, Options, Refused, Transcoder
from tests.edge.transcoder import probe
from tests.edge.transcoder.probe import Messages


class Served:
    """One message type behind the transcoder, and the same in google's runtime."""

    def __init__(self, descriptors: bytes, message: str) -> None:
        self._descriptors = descriptors
        self._transcoder = Transcoder(descriptors, GrpcUpstream({}))
        self._messages = Messages(descriptors)
        self._message = message

    def bound(
        self, method: str, target: str, body: Any = None, *, ignore_unknown: bool = False, content_type: str = ""
    ) -> Any:
        """The request message as google's runtime reads it, as JSON; raises Refused."""
        transcoder = self._transcoder
        if ignore_unknown:
            transcoder = Transcoder(self._descriptors, GrpcUpstream({}), Options(ignore_unknown=True))
        message = self._messages[self._message].FromString(_bound(transcoder, method, target, body, content_type))
        assert message.IsInitialized()
        return json.loads(json_format.MessageToJson(message, descriptor_pool=self._messages.pool, indent=None))

    def echoed(self, method: str, target: str, body: Any = None) -> Any:
        """What is printed of an RPC that answers with its request."""
        route = self._transcoder.match(method, target).route
        return json.loads(route.print_body(_bound(self._transcoder, method, target, body)).data)

    def refused(self, method: str, target: str, body: Any = None) -> dict[str, str]:
        """The fields that a request is refused for."""
        with pytest.raises(Refused) as refused:
            _bound(self._transcoder, method, target, body)
        assert refused.value.problem.status == 400
        return {error.field: error.detail for error in refused.value.problem.errors}


def _bound(transcoder: Transcoder, method: str, target: str, body: Any, content_type: str = "") -> bytes:
    match = transcoder.match(method, target)
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return match.route.bind(match.segments, match.query, data, content_type)


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return _served("legacy", tmp_path_factory.mktemp("legacy"))


@pytest.fixture(scope="module")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return _served("edition", tmp_path_factory.mktemp("edition"))


def _served(name: str, scratch: Path) -> Served:
    descriptors = probe.compiled(probe.PROTOS, f"syntaxes/{name}.proto", scratch)
    return Served(descriptors, f"syntaxes.{name}.{name.capitalize()}")


@pytest.mark.parametrize(
    "message",
    [
        {"name": "a"},
        {"name": "a", "count": 0, "kind": "A", "kinds": ["A", "B"]},
        {"name": "a", "extra": {"text": "x", "nums": [1, 2]}, "row": [{"cell": "1"}, {"cell": "2"}]},
        {"name": "a", "byName": {"k": "SOME"}, "numbers": [1, 2], "child": {"name": "b"}, "picked": "A"},
        {"name": "a", "[syntaxes.legacy.nick]": "n", "[syntaxes.legacy.marks]": [1, 2]},
        {"name": "a", "[syntaxes.legacy.liking]": "B", "[syntaxes.legacy.friend]": {"name": "f"}},
    ],
)
def test_a_proto2_message_goes_through_json_as_it_is(legacy: Served, message: Any) -> None:
    assert legacy.bound("POST", "/r", message) == message
    assert legacy.echoed("POST", "/r", message) == message


@pytest.mark.parametrize(
    ("method", "target", "body", "message"),
    [
        ("GET", "/r/a/B?count=0", None, {"name": "a", "kind": "B", "count": 0}),
        ("GET", "/extra/x?name=a&extra.nums=1", None, {"name": "a", "extra": {"text": "x", "nums": [1]}}),
        (
            "GET",
            "/r/a/A?numbers=4&numbers=5&kinds=B",
            None,
            {"name": "a", "kind": "A", "numbers": [4, 5], "kinds": ["B"]},
        ),
        ("GET", "/picked/A?name=a", None, {"name": "a", "picked": "A"}),
        ("POST", "/child/a", {"name": "b"}, {"name": "a", "child": {"name": "b"}}),
        ("POST", "/extra/a", {"text": "x"}, {"name": "a", "extra": {"text": "x"}}),
        ("POST", "/count/a", {}, {"name": "a"}),
    ],
)
def test_a_required_field_or_a_group_may_come_from_anywhere(
    legacy: Served, method: str, target: str, body: Any, message: Any
) -> None:
    assert legacy.bound(method, target, body) == message


@pytest.mark.parametrize(
    ("method", "target", "body", "errors"),
    [
        ("POST", "/r", {}, {"name": "is required"}),
        ("GET", "/extra/x", None, {"name": "is required"}),
        ("POST", "/r", {"child": {}}, {"name": "is required", "child.name": "is required"}),
        ("POST", "/r", {"name": "a", "row": [{"cell": ""}, {}]}, {"row[1].cell": "is required"}),
        ("POST", "/child/a", {}, {"child.name": "is required"}),
        ("POST", "/r", {"name": "a", "kind": 3}, {"kind": "must be one of A, B"}),
        ("POST", "/r", {"name": "a", "kinds": ["A", "Z"]}, {"kinds[1]": "must be one of A, B"}),
        ("GET", "/r/a/3", None, {"kind": "must be one of A, B"}),
        ("GET", "/r/a/A?row.cell=1", None, {"row.cell": "there is no such parameter"}),
        ("POST", "/r", {"name": "a", "[a.b]": 1}, {"[a.b]": "there is no such field"}),
        ("POST", "/r", {"name": "a", "[syntaxes.legacy.liking]": "C"},
         {"[syntaxes.legacy.liking]": "must be one of A, B"}),
        (
            "POST",
            "/r",
            {"name": "a", "[syntaxes.legacy.marks]": [1, "1_0"]},
            {"[syntaxes.legacy.marks][1]": "must be an integer from -2147483648 to 2147483647"},
        ),
    ],
)  # fmt: skip
def test_what_a_proto2_message_cannot_be_is_refused(
    legacy: Served, method: str, target: str, body: Any, errors: dict[str, str]
) -> None:
    assert legacy.refused(method, target, body) == errors


def test_a_bare_value_that_is_not_set_is_null_and_a_group_is_an_object(legacy: Served) -> None:
    assert legacy.echoed("POST", "/count/a", {}) is None
    assert legacy.echoed("POST", "/count/a", {"count": 5}) == 5
    assert legacy.echoed("POST", "/extra/a", {"text": "x"}) == {"text": "x"}


def test_unknown_numbers_of_a_closed_enum_are_dropped_if_that_is_wanted(legacy: Served) -> None:
    body = {"name": "a", "kind": 9, "kinds": [1, 9], "[a.b]": 1}

    assert legacy.bound("POST", "/r", body, ignore_unknown=True) == {"name": "a", "kinds": ["A"]}


@pytest.mark.parametrize(
    "message",
    [
        {"name": "a", "class": 1, "closed": "TWO", "expanded": [1, 2]},
        {"name": "a", "part": {"from": "x", "None": 1}, "parts": [{"from": "y"}, {}]},
    ],
)
def test_a_message_of_an_edition_goes_through_json_as_it_is(edition: Served, message: Any) -> None:
    assert edition.bound("POST", "/r", message) == message
    assert edition.echoed("POST", "/r", message) == message


@pytest.mark.parametrize(
    ("method", "target", "body", "message"),
    [
        ("GET", "/r/a/5?implicit=0&closed=2", None, {"name": "a", "class": 5, "closed": "TWO"}),
        ("GET", "/part/x?name=a&part.None=1", None, {"name": "a", "part": {"from": "x", "None": 1}}),
        ("PUT", "/part/a", {"from": "x"}, {"name": "a", "part": {"from": "x"}}),
        ("PATCH", "/part/a", {"from": "x"}, {"name": "a", "part": {"from": "x"}, "updateMask": "from"}),
        ("GET", "/r/a/5?updateMask=a,b", None, {"name": "a", "class": 5, "updateMask": "a,b"}),
    ],
)
def test_a_message_of_an_edition_is_bound_from_anywhere(
    edition: Served, method: str, target: str, body: Any, message: Any
) -> None:
    assert edition.bound(method, target, body) == message


def test_a_file_becomes_a_group_where_an_edition_asks_for_one(edition: Served) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nabc\r\n--x--\r\n'

    bound = edition.bound("POST", "/file/a", form, content_type="multipart/form-data; boundary=x")

    assert bound == {"name": "a", "file": {"data": "YWJj"}}


def test_what_a_message_of_an_edition_cannot_be_is_refused(edition: Served) -> None:
    assert edition.refused("POST", "/r", {"class": 1}) == {"name": "is required"}
    assert edition.refused("POST", "/r", {"name": "a", "closed": 3}) == {"closed": "must be one of ONE, TWO"}
