"""Unset fields that are printed as null, in the messages that ask for it."""

import json
from collections.abc import Callable

import pytest

from edge.transcoder import GrpcUpstream, Options, Route, Transcoder
from tests.edge.transcoder.probe import Messages

PROTO = """
import "google/protobuf/descriptor.proto";
import "google/protobuf/struct.proto";
extend google.protobuf.MessageOptions { bool asks = 50001; }

message Figure {
  option (asks) = true;
  double sum = 1;
  optional double mean_of_all = 2;
  optional google.protobuf.Timestamp since = 3;
  google.protobuf.Timestamp made = 4;
  oneof whose { string user = 5; string team = 6; }
  Figure inner = 7;
}
message Other { optional double mean_of_all = 1; }
message Report {
  Figure one = 1;
  repeated Figure list = 2;
  map<string, Figure> by_name = 3;
  Other other = 4;
  google.protobuf.Struct free = 5;
  repeated Report parts = 6;
  int32 number = 7;
}
message Bare { Other other = 1; }
service S {
  rpc Ask(Report) returns (Report) { option (google.api.http) = {get: "/whole"}; }
  rpc AskOne(Report) returns (Report) { option (google.api.http) = {get: "/one" response_body: "one"}; }
  rpc AskBare(Bare) returns (Bare) { option (google.api.http) = {get: "/bare"}; }
  rpc Follow(Report) returns (stream Report) { option (google.api.http) = {get: "/stream"}; }
}
"""
NONE = {"meanOfAll": None, "since": None}


@pytest.fixture
def descriptors(compile_proto: Callable[[str], bytes]) -> bytes:
    return compile_proto(PROTO)


@pytest.fixture
def route(descriptors: bytes) -> Callable[[str], Route]:
    transcoder = Transcoder(descriptors, GrpcUpstream({}), Options(nulls="t.asks", event_id="number"))
    return lambda path: transcoder.match("GET", path).route


def report(descriptors: bytes) -> bytes:
    made = Messages(descriptors)["t.Report"](number=7, other={}, free={})
    made.one.inner.mean_of_all = 0
    made.list.add(sum=2, user="ada")
    made.by_name["a"].since.seconds = 0
    made.parts.add().list.add(mean_of_all=0.25)
    return bytes(made.SerializeToString())


def test_an_unset_figure_is_null_wherever_its_message_stands(descriptors: bytes, route: Callable[[str], Route]) -> None:
    printed = json.loads(route("/whole").print_body(report(descriptors)).data)

    # Neither a member of a oneof, nor a message that is not declared `optional`, nor a message that does not ask.
    assert printed == {
        "one": {"inner": {"meanOfAll": 0, "since": None}, **NONE},
        "list": [{"sum": 2, "user": "ada", **NONE}],
        "byName": {"a": {"meanOfAll": None, "since": "1970-01-01T00:00:00Z"}},
        "other": {},
        "free": {},
        "parts": [{"list": [{"meanOfAll": 0.25, "since": None}]}],
        "number": 7,
    }


def test_what_is_printed_is_read_as_the_same_message(descriptors: bytes, route: Callable[[str], Route]) -> None:
    kind = route("/whole").method.output.type
    data = report(descriptors)

    assert kind.from_json(route("/whole").print_body(data).data.decode()) == kind.from_binary(data)


def test_bare_values_and_events_have_nulls_too(descriptors: bytes, route: Callable[[str], Route]) -> None:
    data = report(descriptors)
    print_event = route("/stream").print_event
    assert print_event is not None
    number, _, event = print_event(data).partition(b"\n")

    assert json.loads(route("/one").print_body(data).data) == {"inner": {"meanOfAll": 0, "since": None}, **NONE}
    assert (number, json.loads(event.removeprefix(b"data: "))["list"]) == (
        b"id: 7",
        [{"sum": 2, "user": "ada", **NONE}],
    )


def test_without_the_option_nothing_is_null(descriptors: bytes) -> None:
    plain = Transcoder(descriptors, GrpcUpstream({})).match("GET", "/whole").route

    assert b"null" not in plain.print_body(report(descriptors)).data


def test_an_option_that_there_is_not_is_refused_at_the_start(descriptors: bytes) -> None:
    with pytest.raises(ValueError, match=r"there is no option t\.nope"):
        Transcoder(descriptors, GrpcUpstream({}), Options(nulls="t.nope"))
