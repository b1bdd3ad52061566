"""Path, query and body to one request message."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.transcoder import GrpcUpstream, Options, Refused, Transcoder
from tests.edge.transcoder.probe import Edge, Messages, binding_status


def field_errors(text: str) -> dict[str, str]:
    return {error["field"]: error["code"] for error in json.loads(text)["errors"]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/v1/messages/a%2Fb", "a/b"),
        ("/v1/messages/a%252Fb", "a%2Fb"),
        ("/v1/messages/100%25", "100%"),
        ("/v1/messages/a+b", "a+b"),
        ("/v1/messages/%C3%A9", "é"),
        ("/v1/messages/a:b", "a:b"),
        ("/v1/messages/..", ".."),
        ("/v2/messages/a%2Fb", "messages/a%2Fb"),
        ("/v2/messages/a%2fb", "messages/a%2fb"),
        ("/v2/messages/a%252Fb", "messages/a%2Fb"),
        ("/v2/o", "o"),
        ("/v2/o/a/b", "o/a/b"),
        ("/v2/o/b%3Ac", "o/b:c"),
        ("/v2/o/a%2Fb", "o/a%2Fb"),
    ],
)
async def test_a_path_variable_is_decoded_once(edge: Edge, path: str, value: str) -> None:
    answer = await edge("GET", path)

    assert json.loads(answer.body) == {"stringValue": value}


async def test_a_path_variable_may_be_a_nested_field(edge: Edge) -> None:
    answer = await edge("GET", "/v2/nested/x?child.number=5&child.child.tags=a&child.child.tags=b")

    assert json.loads(answer.body) == {"child": {"text": "x", "number": 5, "child": {"tags": ["a", "b"]}}}


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/v1/messages/%zz",
            "/v1/messages/%FF",
            "/v1/messages/%C3/%A9",
            "/v2/o/%FF",
            "/q?stringValue=%FF",
            "/q?%zz=1",
        ),
        *("/nothing/%zz", "/%FF", "/q%", "/v1/messages/a:%zz"),
    ],
)
async def test_a_malformed_escape_is_a_bad_request(edge: Edge, path: str) -> None:
    answer = await edge("GET", path)

    assert (answer.status, json.loads(answer.body)["code"]) == (400, "malformed_url")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("http://example.com/q?int32Value=1", {"int32_value": 1}),
        ("https://user@example.com:8443/v1/messages/a%2Fb", {"string_value": "a/b"}),
        ("http://example.com/q?stringValue=/v1//x?y", {"string_value": "/v1//x?y"}),
        ("/q??", None),
        ("http://example.com", None),
        ("http://example.com?stringValue=/q", None),
        ("//q", None),
        ("/q/", None),
        ("/q;a=b", None),
        ("*", None),
        ("", None),
    ],
)
def test_a_target_means_its_path_in_every_form(
    transcoder: Transcoder, messages: Messages, target: str, message: Any
) -> None:
    if message is None:
        assert binding_status(transcoder, "GET", target) in (400, 404)
        return
    match = transcoder.match("GET", target)
    bound = match.route.bind(match.segments, match.query, b"", "")
    assert messages["probe.v1.Probe"].FromString(bound) == messages["probe.v1.Probe"](**message)


@pytest.mark.parametrize("name", ["stringValue", "string_value"])
async def test_the_path_beats_the_query(edge: Edge, name: str) -> None:
    answer = await edge("GET", f"/q/named/alice?{name}=mallory")

    assert json.loads(answer.body) == {"stringValue": "alice"}


@pytest.mark.parametrize("name", ["stringValue", "string_value"])
async def test_the_path_beats_the_body(edge: Edge, name: str) -> None:
    answer = await edge("POST", "/b/star/alice", json.dumps({name: "mallory", "int32Value": 1}))

    assert json.loads(answer.body) == {"stringValue": "alice", "int32Value": 1}


async def test_the_path_beats_the_body_inside_a_nested_message(edge: Edge) -> None:
    answer = await edge("POST", "/b/star/child/alice", '{"child": {"text": "mallory", "number": 1}}')

    assert json.loads(answer.body) == {"child": {"text": "alice", "number": 1}}


async def test_a_default_value_in_the_path_beats_the_body_too(edge: Edge) -> None:
    answer = await edge("GET", "/q/int/0/COLOR_UNSPECIFIED/false?int32Value=5&color=RED&boolValue=true")

    assert json.loads(answer.body) == {}


async def test_a_star_body_leaves_nothing_for_the_query(edge: Edge) -> None:
    answer = await edge("POST", "/b/star/alice?int32Value=9", "{}")

    assert json.loads(answer.body) == {"stringValue": "alice"}


async def test_without_a_body_clause_the_body_is_not_bound_but_the_query_is(edge: Edge) -> None:
    answer = await edge("POST", "/b/none/a?int32Value=3", '{"int32Value": 7}')

    assert json.loads(answer.body) == {"stringValue": "a", "int32Value": 3}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/b/text", '"hello"', {"stringValue": "hello"}),
        ("/b/list", '[1,"2",3]', {"repeatedInt32": [1, 2, 3]}),
        ("/b/map", '{"a":"b"}', {"m": {"a": "b"}}),
        ("/b/ts", '"2020-01-01T00:00:00Z"', {"timestamp": "2020-01-01T00:00:00Z"}),
        ("/b/value", '{"a":[1,null]}', {"jsonValue": {"a": [1, None]}}),
        ("/b/value", "null", {"jsonValue": None}),
        ("/b/bytes", '"YQ"', {"bytesValue": "YQ=="}),
        ("/b/text", "", {}),
        ("/b/list", "[]", {}),
        ("/b/text", "null", {}),
        ("/b/text?int32Value=4", '"x"', {"stringValue": "x", "int32Value": 4}),
        ("/b/text?stringValue=y", '"x"', {"stringValue": "x"}),
    ],
)
async def test_a_body_field_takes_any_value_of_its_type(edge: Edge, path: str, body: str, message: Any) -> None:
    answer = await edge("PUT", path, body)

    assert json.loads(answer.body) == message


async def test_a_message_in_the_body_leaves_the_rest_to_path_and_query(edge: Edge) -> None:
    answer = await edge("PATCH", "/b/child/p?int32Value=1&child.number=9", '{"text": "t"}')

    assert json.loads(answer.body) == {"stringValue": "p", "int32Value": 1, "child": {"text": "t"}}


@pytest.mark.parametrize(
    ("path", "body"), [("/b/text", "hello"), ("/b/text", "1"), ("/b/list", "[1,null]"), ("/b/list", '{"a":1}'),
                       ("/b/list", '1],"int32Value":[7'), ("/b/text", '"a","int32Value":1')]
)  # fmt: skip
async def test_a_body_field_of_another_type_is_refused(edge: Edge, path: str, body: str) -> None:
    assert (await edge("PUT", path, body)).status == 400


async def test_a_null_is_no_message(edge: Edge) -> None:
    assert (await edge("POST", "/b/star", "null")).status == 400
    assert (await edge("PATCH", "/b/child/p", "null")).status == 400


async def test_an_empty_body_is_the_empty_message(edge: Edge) -> None:
    answer = await edge("POST", "/b/star")

    assert (answer.status, answer.text) == (200, "{}")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("stringValue=%22x%22", {"stringValue": '"x"'}),
        ("stringValue=null", {"stringValue": "null"}),
        ("stringValue=a+b%2B", {"stringValue": "a b+"}),
        ("stringValue=a=b", {"stringValue": "a=b"}),
        ("stringValue", {}),
        ("&&int32Value=1&", {"int32Value": 1}),
        ("repeatedString=a,b", {"repeatedString": ["a,b"]}),
        ("repeated_string=a&repeatedString=b", {"repeatedString": ["a", "b"]}),
        ("repeatedInt32=1&repeatedInt32=2", {"repeatedInt32": [1, 2]}),
        ("repeatedColor=RED&repeatedColor=2&repeatedColor=7", {"repeatedColor": ["RED", "GREEN", 7]}),
        ("repeatedBytes=YQ&repeatedBytes=-_-_", {"repeatedBytes": ["YQ==", "+/+/"]}),
        ("repeatedTimestamp=2020-01-01T00:00:00Z", {"repeatedTimestamp": ["2020-01-01T00:00:00Z"]}),
        ("renamedField=a", {"renamedField": "a"}),
        ("custom_named=a", {"renamedField": "a"}),
        ("optInt32=0", {"optInt32": 0}),
        ("optString=", {"optString": ""}),
        ("int32Wrapper=0", {"int32Wrapper": 0}),
        ("string_wrapper=", {"stringWrapper": ""}),
        ("boolWrapper=false", {"boolWrapper": False}),
        ("int64Wrapper=9007199254740993", {"int64Wrapper": "9007199254740993"}),
        ("bytesWrapper=YQ", {"bytesWrapper": "YQ=="}),
        ("doubleWrapper=1.5", {"doubleWrapper": 1.5}),
        ("duration=1.5s", {"duration": "1.500s"}),
        ("duration=-0.5s", {"duration": "-0.500s"}),
        ("mask=foo,barBaz", {"mask": "foo,barBaz"}),
        ("timestamp=2020-01-01T00:00:00%2B01:00", {"timestamp": "2019-12-31T23:00:00Z"}),
        ("int64Value=9007199254740993", {"int64Value": "9007199254740993"}),
        ("int64Value=-9223372036854775808", {"int64Value": "-9223372036854775808"}),
        ("uint64Value=18446744073709551615", {"uint64Value": "18446744073709551615"}),
        ("fixed64Value=18446744073709551615", {"fixed64Value": "18446744073709551615"}),
        ("sint32Value=-5", {"sint32Value": -5}),
        ("int32Value=-1", {"int32Value": -1}),
        ("int32Value=1e5", {"int32Value": 100000}),
        ("int32Value=1.0", {"int32Value": 1}),
        ("floatValue=1.5", {"floatValue": 1.5}),
        ("doubleValue=NaN", {"doubleValue": "NaN"}),
        ("floatValue=-Infinity", {"floatValue": "-Infinity"}),
        ("boolValue=true", {"boolValue": True}),
        ("color=GREEN", {"color": "GREEN"}),
        ("color=CRIMSON", {"color": "RED"}),
        ("color=123", {"color": 123}),
        ("color=-1", {"color": -1}),
        ("nullValue=NULL_VALUE", {}),
        ("choiceNumber=0", {"choiceNumber": 0}),
        ("child.text=a&child.child.text=b", {"child": {"text": "a", "child": {"text": "b"}}}),
        ("choiceChild.text=a&choiceChild.number=1", {"choiceChild": {"text": "a", "number": 1}}),
    ],
)  # fmt: skip
async def test_query_values_are_text_of_the_field_s_type(edge: Edge, query: str, message: Any) -> None:
    answer = await edge("GET", f"/q?{query}")

    assert json.loads(answer.body) == message


@pytest.mark.parametrize(
    "query",
    [
        "int32Value=12x", "int32Value=2147483648", "uint32Value=-1", "int32Value=", "int32Value=1_000",
        "int32Value=%2B1",
        "int32Value=01", "int32Value=0x10", "int32Value=1.5", "int32Value=%D9%A1", "int32Value=1e536870000",
        "int64Value=9223372036854775808", "uint64Value=1e30", "boolValue=yes", "boolValue=True", "boolValue=1",
        "floatValue=1e39", "doubleValue=1e400", "doubleValue=inf", "doubleValue=1_0", "doubleValue=",
        "doubleValue=+1",
        "color=red", "color=1.5", "color=2147483648", "color=", "bytesValue=!!!", "bytesValue=Y", "bytesValue=%C3%BC",
        "repeatedInt32=1&repeatedInt32=",
        "duration=1h", "duration=1m30s", "duration=1.s", "duration=1.0000000001s", "mask=bar_bar",
        "mask=a,,b", "mask=a.",
        "timestamp=2020-01-01T00:00:00+01:00", "timestamp=2020-01-01", "timestamp=", "int32Value=1&int32Value=2",
        "int32Value=1&int32_value=2", "choiceText=a&choiceNumber=1", "choiceText=a&choiceChild.text=b",
    ],
)  # fmt: skip
async def test_a_bad_query_value_is_a_bad_request_with_the_field_named(edge: Edge, query: str) -> None:
    answer = await edge("GET", f"/q?{query}")

    assert answer.status == 400
    assert json.loads(answer.body)["code"] == "invalid_argument"
    assert set(field_errors(answer.text)) <= {pair.partition("=")[0] for pair in query.split("&")}


@pytest.mark.parametrize(
    "name",
    [
        "nope", "customNamed", "child", "child.nope", "child.text.x", "repeatedChild.text", "repeatedChild", "m",
        "m[k]",
        "m.k", "struct", "struct.fields", "jsonValue", "any", "listValue", "int32Wrapper.value", "timestamp.seconds",
        "stringValue.x", ".", "", "child.", ".child", "child." * 40 + "text", "STRINGVALUE",
    ],
)  # fmt: skip
async def test_a_parameter_that_is_no_field_is_refused_by_name(edge: Edge, name: str) -> None:
    answer = await edge("GET", f"/q?{quote(name)}=x")

    assert answer.status == 400
    assert field_errors(answer.text) == {name: "unknown_parameter"}


async def test_an_unknown_parameter_is_refused_beside_a_star_body_too(edge: Edge) -> None:
    assert (await edge("POST", "/b/star?nope=1", "{}")).status == 400


@pytest.mark.parametrize(
    ("path", "field"),
    [("/q/int/12x/RED/true", "int32Value"), ("/q/int/1/RED/1", "boolValue"), ("/q/int/1/red/true", "color")],
)
async def test_a_bad_path_value_is_a_bad_request_with_the_field_named(edge: Edge, path: str, field: str) -> None:
    answer = await edge("GET", path)

    assert (answer.status, field_errors(answer.text)) == (400, {field: "invalid_value"})


def test_unknown_parameters_of_an_open_query_are_dropped_and_no_others(descriptors: bytes, messages: Messages) -> None:
    transcoder = Transcoder(descriptors, GrpcUpstream({}), Options(open_queries=["/probe.v1.ProbeService/Query"]))
    open_query = transcoder.match("GET", "/q?nope=1&int32Value=3")
    closed = transcoder.match("GET", "/v1/messages/a?nope=1")

    bound = open_query.route.bind(open_query.segments, open_query.query, b"", "")

    assert messages["probe.v1.Probe"].FromString(bound) == messages["probe.v1.Probe"](int32_value=3)
    with pytest.raises(Refused):
        closed.route.bind(closed.segments, closed.query, b"", "")


def test_unknown_parameters_and_fields_are_dropped_if_that_is_wanted(descriptors: bytes, messages: Messages) -> None:
    transcoder = Transcoder(descriptors, GrpcUpstream({}), Options(ignore_unknown=True))
    query = transcoder.match(
        "GET", "/q?nope=1&child.nope=2&int32Value=3&m[k]=v&color=PURPLE&repeatedColor=RED&repeatedColor=PURPLE"
    )
    body = transcoder.match("POST", "/b/star")
    text = b'{"nope": 1, "child": {"nope": 2, "text": "a"}, "repeatedColor": ["RED", "PURPLE"]}'

    bound = messages["probe.v1.Probe"].FromString(query.route.bind(query.segments, query.query, b"", ""))
    read = messages["probe.v1.Probe"].FromString(body.route.bind(body.segments, "", text, ""))

    assert bound == messages["probe.v1.Probe"](int32_value=3, repeated_color=[1])
    assert read == messages["probe.v1.Probe"](child={"text": "a"}, repeated_color=[1])


@pytest.mark.parametrize("target", ["/q?color=1.5", "/q?color=2147483648", "/q/int/1/PURPLE/true"])
def test_what_is_no_name_or_must_not_be_left_out_is_refused_all_the_same(descriptors: bytes, target: str) -> None:
    transcoder = Transcoder(descriptors, GrpcUpstream({}), Options(ignore_unknown=True))

    assert binding_status(transcoder, "GET", target) == 400


INT64 = st.integers(-(2**63), 2**63 - 1)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "string_value": st.text(st.characters(exclude_categories=["Cs"])),
        "int64_value": INT64,
        "uint64_value": st.integers(0, 2**64 - 1),
        "sint32_value": st.integers(-(2**31), 2**31 - 1),
        "fixed64_value": st.integers(0, 2**64 - 1),
        "bool_value": st.booleans(),
        "float_value": st.floats(width=32, allow_nan=False),
        "double_value": st.floats(allow_nan=False),
        "repeated_int32": st.lists(st.integers(-(2**31), 2**31 - 1)),
        "opt_int32": st.integers(-(2**31), 2**31 - 1),
    },
)


def _as_text(value: Any) -> str:
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return str(value).lower() if isinstance(value, bool) else str(value)


@given(fields=FIELDS)
def test_what_a_query_says_is_what_the_message_holds(
    transcoder: Transcoder, messages: Messages, fields: dict[str, Any]
) -> None:
    pairs = [(name, one) for name, value in fields.items() for one in (value if isinstance(value, list) else [value])]
    match = transcoder.match("GET", "/q?" + "&".join(f"{name}={quote(_as_text(one), safe='')}" for name, one in pairs))

    bound = messages["probe.v1.Probe"].FromString(match.route.bind(match.segments, match.query, b"", ""))

    assert bound == messages["probe.v1.Probe"](**fields)


@given(query=st.text(max_size=40))
def test_any_query_is_bound_or_refused_and_nothing_else(transcoder: Transcoder, query: str) -> None:
    assert binding_status(transcoder, "GET", "/q?" + query) in (200, 400)
