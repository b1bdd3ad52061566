"""A rule that cannot be served stops the start, and the error says which RPC and why."""

from collections.abc import Callable

import pytest

from edge.transcoder import GrpcUpstream, RuleError, Transcoder

MESSAGES = """
message Sub { string text = 1; Sub sub = 2; }
message M {
  string name = 1; Sub sub = 2; repeated string list = 3; map<string, string> map = 4; repeated Sub subs = 5;
  google.protobuf.StringValue wrapper = 6; google.protobuf.Timestamp time = 7; Kind kind = 8;
  oneof choice { string text = 9; Sub part = 10; }
}
enum Kind { KIND_UNSPECIFIED = 0; }
"""
Compile = Callable[[str], bytes]


def service(*rules: str, streams: str = "") -> str:
    """A service with one RPC for each rule; `streams` has an `s` in the place of each RPC that streams replies."""
    rpcs = [
        f"rpc R{index}(M) returns ({'stream ' if streams[index : index + 1] == 's' else ''}M) "
        f"{{ option (google.api.http) = {{ {rule} }}; }}"
        for index, rule in enumerate(rules)
    ]
    return f"{MESSAGES}\nservice S {{ {' '.join(rpcs)} }}"


def test_an_annotation_that_is_no_message_names_the_rpc(compile_proto: Compile) -> None:
    broken = compile_proto(service('get: "/a"')).replace(b"\x12\x02/a", b"\x12\x05/a")  # two bytes, said to be five

    with pytest.raises(RuleError, match=r"^t\.S\.R0: its google.api.http annotation cannot be read"):
        Transcoder(broken, GrpcUpstream({}))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ('get: "/a/"', "segment"),
        ('get: "/{nope}"', "nope names no field"),
        ('get: "/{sub}"', "sub is a message"),
        ('get: "/{sub.nope}"', "sub.nope names no field"),
        ('get: "/{name.text}"', "name.text names no field"),
        ('get: "/{list}"', "repeated or map"),
        ('get: "/{map}"', "repeated or map"),
        ('get: "/{subs.text}"', "repeated or map"),
        ('post: "/a" body: "nope"', "'nope', which is no field"),
        ('post: "/a" body: "sub.text"', "'sub.text', which is no field"),
        ('post: "/{name}" body: "name"', "both in the path and the body"),
        ('get: "/a" response_body: "nope"', "'nope', which is no field"),
        ('get: "/a" additional_bindings { get: "/b" additional_bindings { get: "/c" } }', "additional_bindings hold"),
        ('body: "*"', "no pattern"),
        ('custom { kind: "" path: "/a" }', "no kind"),
        ('custom { kind: "A B" path: "/a" }', "'A B' of the custom pattern is no HTTP method"),
        ('get: "/{wrapper}"', "wrapper is a message"),
        ('get: "/{time}"', "time is a message"),
        ('get: "/{name}/{name}"', "bound twice"),
        ('get: "/a" response_body: "*"', "'*', which is no field"),
        ('get: "/a" response_body: "sub.text"', "'sub.text', which is no field"),
        ('get: "/a" additional_bindings { get: "/a" }', "taken by t.S.R0"),
    ],
)
def test_a_wrong_rule_names_the_rpc_and_the_reason(compile_proto: Compile, rule: str, reason: str) -> None:
    with pytest.raises(RuleError, match=r"^t\.S\.R0: ") as raised:
        Transcoder(compile_proto(service(rule)), GrpcUpstream({}))

    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("one", "other", "streams"),
    [
        ('get: "/a/{name}"', 'get: "/a/{sub.text}"', ""),
        ('get: "/a/{name=**}"', 'get: "/a/**"', ""),
        ('get: "/{name=a/*}"', 'get: "/a/*"', ""),
        ('post: "/a:do"', 'post: "/a:do" body: "*"', ""),
        ('get: "/a"', 'custom { kind: "GET" path: "/a" }', ""),
        ('get: "/a"', 'get: "/%61"', ""),
        ('get: "/a%2Db"', 'get: "/a-b"', ""),
        ('get: "/a:x%2Dy"', 'get: "/a:x-y"', ""),
        ('get: "/{name=a/*}/b"', 'get: "/a/{name}/b"', ""),
        ('custom { kind: "*" path: "/a" }', 'custom { kind: "*" path: "/a" }', ""),
        ('get: "/a"', 'get: "/a"', "ss"),
    ],
)
def test_two_rpcs_with_one_route_are_refused(compile_proto: Compile, one: str, other: str, streams: str) -> None:
    with pytest.raises(RuleError, match=r"^t\.S\.R1: .* is taken by t\.S\.R0"):
        Transcoder(compile_proto(service(one, other, streams=streams)), GrpcUpstream({}))


def test_what_a_variable_or_a_body_may_be(compile_proto: Compile) -> None:
    rules = (
        'get: "/{kind}/{text}"',
        'get: "/sub/{part.text}"',
        'put: "/{text}" body: "sub"',
        'post: "/a" body: "text" additional_bindings { post: "/b" body: "*" } additional_bindings { get: "/b" }',
    )

    assert len(Transcoder(compile_proto(service(*rules)), GrpcUpstream({})).routes) == 6


def test_a_route_for_any_method_stands_behind_one_for_a_method(compile_proto: Compile) -> None:
    rules = ('custom { kind: "*" path: "/a/{name}" }', 'get: "/a/{text}"')
    transcoder = Transcoder(compile_proto(service(*rules)), GrpcUpstream({}))

    assert transcoder.match("GET", "/a/b").route.rpc == "t.S.R1"
    assert transcoder.match("REPORT", "/a/b").route.rpc == "t.S.R0"


def test_two_services_of_one_set_cannot_share_a_route(compile_proto: Compile) -> None:
    rpc = 'rpc R(M) returns (M) { option (google.api.http) = { get: "/a" }; }'

    with pytest.raises(RuleError, match=r"^t\.B\.R: GET /a is taken by t\.A\.R"):
        Transcoder(compile_proto(f"{MESSAGES} service A {{ {rpc} }} service B {{ {rpc} }}"), GrpcUpstream({}))


def test_a_unary_and_a_streaming_rpc_may_share_a_route_but_not_a_third(compile_proto: Compile) -> None:
    rule = 'get: "/a"'

    assert len(Transcoder(compile_proto(service(rule, rule, streams="-s")), GrpcUpstream({})).routes) == 2
    with pytest.raises(RuleError, match="R2"):
        Transcoder(compile_proto(service(rule, rule, rule, streams="-ss")), GrpcUpstream({}))


def test_routes_say_what_they_serve(compile_proto: Compile) -> None:
    rules = ('get: "/a/{name=x/*}:do" response_body: "sub"', 'custom { kind: "LOCK" path: "/b" } body: "*"')

    one, two = Transcoder(compile_proto(service(*rules, streams="-s")), GrpcUpstream({})).routes

    assert (one.http_method, one.template.text, one.rpc) == ("GET", "/a/{name=x/*}:do", "t.S.R0")
    assert (one.path, one.streaming, one.body, one.response_body) == ("/t.S/R0", False, "", "sub")
    assert (two.http_method, two.streaming, two.body, two.method.name) == ("LOCK", True, "*", "R1")


def test_an_rpc_without_a_rule_has_no_route(compile_proto: Compile) -> None:
    descriptors = compile_proto(f"{MESSAGES} service S {{ rpc R(M) returns (M); }}")

    assert not Transcoder(descriptors, GrpcUpstream({})).routes


@pytest.mark.parametrize(
    ("types", "rule"),
    [
        ("(stream M) returns (stream google.api.HttpBody)", 'get: "/a"'),
        ("(stream google.api.HttpBody) returns (stream M)", 'post: "/a" body: "*"'),
    ],
)
def test_raw_bodies_in_both_directions_at_once_are_refused(compile_proto: Compile, types: str, rule: str) -> None:
    rpc = f"rpc R{types} {{ option (google.api.http) = {{ {rule} }}; }}"

    with pytest.raises(RuleError, match="HttpBody"):
        Transcoder(compile_proto(f"{MESSAGES} service S {{ {rpc} }}"), GrpcUpstream({}))
