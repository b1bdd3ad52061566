"""JSON bodies as ProtoJSON has them."""

import base64
import json
from datetime import UTC
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.transcoder import GrpcUpstream, Transcoder
from tests.edge.transcoder.probe import Edge, Messages, binding_status


@pytest.mark.parametrize(
    "body",
    [
        '{"int32Value":true}', '{"floatValue":true}', '{"color":true}', '{"doubleWrapper":true}', '{"boolValue":1}',
        '{"boolValue":"true"}', '{"floatValue":NaN}', '{"doubleValue":Infinity}', '{"jsonValue":{"a":NaN}}',
        '{"doubleValue":1.89769e+308}', '{"doubleValue":"1.89769e+308"}', '{"floatValue":3.5e38}',
        '{"jsonValue":1e400}',
        '{"doubleValue":"inf"}', '{"doubleValue":"nan"}', '{"doubleValue":"+1"}', '{"doubleValue":"1."}',
        '{"doubleValue":".5"}', '{"doubleValue":"01"}', '{"doubleValue":""}', '{"doubleValue":"1_0"}',
        '{"int32Value":""}', '{"int32Value":" 1"}', '{"int32Value":"0x10"}', '{"int32Value":"1_000"}',
        '{"int32Value":"١٢"}', '{"int32Value":"\\u0661"}', '{"int32Value":"+1"}', '{"int32Value":"01"}',
        '{"int32Value":"1."}', '{"int32Value":"1e536870000"}', '{"int32Value":1e536870000}',
        '{"int32Value":2147483648}',
        '{"int32Value":1.5}', '{"uint32Value":-1}', '{"int64Value":9223372036854775808}',
        '{"uint64Value":"18446744073709551616"}', '{"int64Value":9007199254740993.0}',
        '{"int64Value":"9007199254740993e0"}', '{"int64Wrapper":"1_0"}', '{"repeatedInt32":["1_0"]}',
        '{"child":{"number":"1_0"}}', '{"repeatedChild":[{"child":{"number":"1_0"}}]}',
        '{"any":{"@type":"type.googleapis.com/probe.v1.Child","number":"1_0"}}',
        '{"any":{"@type":"type.googleapis.com/google.protobuf.Int32Value","value":"1_0"}}',
        '{"bytesValue":"!!!"}', '{"bytesValue":"Y"}', '{"bytesValue":"Y Q"}', '{"bytesValue":1}',
        '{"repeatedInt32":[1,null]}', '{"m":{"k":null}}', "null", '{"unknown":null}', '{"unknown":1}', "[]", "[1]",
        "1", '"x"',
        '{"int32Value":[1]}', '{"repeatedInt32":1}', '{"repeatedInt32":[[1]]}', '{"int32Wrapper":{"value":1}}',
        '{"mask":{"paths":["foo"]}}', '{"mapBoolBool":{"1":true}}', '{"child":[]}', '{"child":"x"}', '{"struct":[]}',
        '{"listValue":{}}', '{"mapInt32Child":{"1_0":{}}}', '{"mapInt32Child":{"4294967296":{}}}',
        '{"mapInt32Child":{"1e1":{}}}', '{"mapInt32Child":{"01":{}}}', '{"mapInt32Child":{"":{}}}',
        '{"mapInt32Child":{"1":{"number":"1_0"}}}', '{"color":"red"}', '{"color":1.5}', '{"color":"1"}',
        '{"color":2147483648}', '{"color":-2147483649}', '{"repeatedColor":["RED","PURPLE"]}',
        '{"timestamp":"2020-01-01T00:00:00+24:00"}', '{"timestamp":"2020-01-01T00:00:60Z"}',
        '{"timestamp":"2020-1-1"}',
        '{"timestamp":"2020-01-01t00:00:00z"}', '{"timestamp":"2020-01-01T00:00:00"}',
        '{"timestamp":"0000-01-01T00:00:00Z"}',
        '{"timestamp":"9999-12-31T23:59:59.9999999999Z"}', '{"timestamp":1}', '{"duration":"1m30s"}',
        '{"duration":"1.s"}',
        '{"duration":"1.0000000001s"}', '{"duration":"315576000001s"}', '{"duration":"1"}', '{"mask":"bar_bar"}',
        '{"mask":"a,"}', '{"mask":"a..b"}',
        '{"any":{"@type":"type.googleapis.com/nope.X"}}', '{"any":{"text":"a"}}', '{"any":{"@type":1}}',
        '{"choiceText":"a","choiceNumber":1}', '{"customNamed":"a"}',
    ],
)  # fmt: skip
async def test_a_value_that_is_not_protojson_is_refused(edge: Edge, body: str) -> None:
    answer = await edge("POST", "/b/star", body)

    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [
        '{"int32Value":1} x', "{}{}", '{"stringValue":"a\tb"}', '{"stringValue":"\\uD800"}', '{"stringValue":"a",}',
        '{"repeatedInt32":[1,]}', "{'stringValue':\"a\"}", '{stringValue:"a"}', '{"int32Value":01}',
        '{"int32Value":+1}',
        '{"int32Value":.5}', '{"int32Value":1 /* c */}', " ", "\ufeff{}", '{"m":{"a":"1","a":"2"}}',
        '{"stringValue":"a","stringValue":"b"}', '{"stringValue":"a","\\u0073tringValue":"b"}',
        '{"unknown":{"a":1,"a":2}}',
        "[" * 2000, '{"child":' * 300, "[" * 100_000, '{"jsonValue":' + "[" * 5000 + "]" * 5000 + "}",
        '{"int32Value":' + "9" * 5000 + "}",
    ],
)  # fmt: skip
async def test_text_that_is_not_strict_json_is_refused(edge: Edge, body: str) -> None:
    answer = await edge("POST", "/b/star", body)

    assert (answer.status, json.loads(answer.body)["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("body", [b'{"stringValue":"\xff"}', "{}".encode("utf-16")])
async def test_bytes_that_are_not_utf_8_are_refused(edge: Edge, body: bytes) -> None:
    assert json.loads((await edge("POST", "/b/star", body)).body)["code"] == "malformed_json"


@pytest.mark.parametrize(
    "body", ['{"child":' * 150 + "{}" + "}" * 150, '{"jsonValue":' + "[" * 150 + "]" * 150 + "}"]
)  # fmt: skip
async def test_deep_nesting_is_a_bad_request(edge: Edge, body: str) -> None:
    assert (await edge("POST", "/b/star", body)).status == 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"int32Value": "1e5"}, {"int32Value": 100000}),
        ({"int32Value": 1.0}, {"int32Value": 1}),
        ({"int64Value": 9007199254740993}, {"int64Value": "9007199254740993"}),
        ({"int64Value": "9007199254740993"}, {"int64Value": "9007199254740993"}),
        ({"int64Value": "-9223372036854775808"}, {"int64Value": "-9223372036854775808"}),
        ({"doubleValue": "NaN", "floatValue": "-Infinity"}, {"doubleValue": "NaN", "floatValue": "-Infinity"}),
        ({"bytesValue": "-_-_"}, {"bytesValue": "+/+/"}),
        ({"bytesValue": "YQ"}, {"bytesValue": "YQ=="}),
        ({"int32Value": None, "repeatedInt32": None, "m": None, "child": None}, {}),
        ({"jsonValue": None}, {"jsonValue": None}),
        ({"color": 123}, {"color": 123}),
        ({"color": "CRIMSON"}, {"color": "RED"}),
        ({"timestamp": "1969-12-31T23:59:59.999999999Z"}, {"timestamp": "1969-12-31T23:59:59.999999999Z"}),
        ({"timestamp": "0001-01-01T00:00:00Z"}, {"timestamp": "0001-01-01T00:00:00Z"}),
        ({"duration": "-0.5s"}, {"duration": "-0.500s"}),
        ({"mask": "foo,barBaz"}, {"mask": "foo,barBaz"}),
        ({"choiceNumber": 0}, {"choiceNumber": 0}),
        ({"choiceText": "a", "choiceNumber": None}, {"choiceText": "a"}),
        ({"custom_named": "a"}, {"renamedField": "a"}),
        ({"mapInt32Child": {"-1": {}, "0": {"number": "5"}}}, {"mapInt32Child": {"-1": {}, "0": {"number": 5}}}),
        ({"struct": {"a": [1, None, {"b": "x"}]}}, {"struct": {"a": [1, None, {"b": "x"}]}}),
        (
            {"any": {"text": "a", "@type": "type.googleapis.com/probe.v1.Child"}},
            {"any": {"@type": "type.googleapis.com/probe.v1.Child", "text": "a"}},
        ),
        (
            {"any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}},
            {"any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}},
        ),
        ({"stringValue": "\U0001f600\u0000"}, {"stringValue": "\U0001f600\u0000"}),
    ],
)
async def test_what_protojson_allows_is_read_and_printed(edge: Edge, body: Any, message: Any) -> None:
    answer = await edge("POST", "/b/star", json.dumps(body))

    assert json.loads(answer.body) == message


@pytest.mark.parametrize("first", ["choice_child", "choiceChild"])
async def test_a_field_under_two_spellings_is_refused_and_never_merged(edge: Edge, first: str) -> None:
    second = "choiceChild" if first == "choice_child" else "choice_child"

    answer = await edge("POST", "/b/star", json.dumps({first: {"text": "a"}, second: {"number": 1}}))

    assert (answer.status, json.loads(answer.body)["errors"][0]["field"]) == (400, "choice_child")


TYPE = "type.googleapis.com/"


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"@type": TYPE + "google.protobuf.Any", "value": {"@type": TYPE + "probe.v1.Child", "text": "a"}},
        {"@type": TYPE + "google.protobuf.Struct", "value": {"x": ["y", None, True]}},
        {"@type": TYPE + "google.protobuf.Value", "value": None},
        {"@type": TYPE + "google.protobuf.StringValue", "value": "x"},
        {"@type": TYPE + "google.protobuf.Int64Value", "value": "9007199254740993"},
        {"@type": TYPE + "google.protobuf.Timestamp", "value": "2020-01-01T00:00:00Z"},
        {"@type": TYPE + "google.protobuf.FieldMask", "value": "a,bC"},
        {"@type": TYPE + "google.protobuf.Empty"},
        {"@type": TYPE + "probe.v1.Probe", "any": {"@type": TYPE + "probe.v1.Child", "child": {"number": 1}}},
        {"@type": TYPE + "probe.v1.Probe", "mapInt32Child": {"1": {"tags": ["a"]}}, "color": "GREEN"},
    ],
)
def test_an_any_is_read_as_google_reads_it_and_printed_the_same(
    transcoder: Transcoder, messages: Messages, value: Any
) -> None:
    text = json.dumps({"any": value})
    route = transcoder.match("POST", "/b/star").route
    bound = route.bind([], "", text.encode(), "")

    read = messages["probe.v1.Probe"].FromString(bound)
    expected = json_format.Parse(text, messages["probe.v1.Probe"](), descriptor_pool=messages.pool)
    assert read == expected
    assert json.loads(route.print_body(bound).data) == {"any": value}


@pytest.mark.parametrize(
    "value",
    [
        {"@type": ""},
        {"@type": TYPE},
        {"@type": TYPE + "nope.X"},
        {"@type": TYPE + "probe.v1.Child", "nope": 1},
        {"@type": TYPE + "probe.v1.Child", "value": {"text": "a"}},
        {"@type": TYPE + "google.protobuf.Timestamp"},
        {"@type": TYPE + "google.protobuf.Timestamp", "value": "x"},
        {"@type": TYPE + "google.protobuf.Duration", "value": "1.s"},
        {"@type": TYPE + "google.protobuf.Any", "value": {"@type": TYPE + "probe.v1.Child", "number": "1_0"}},
        {"@type": TYPE + "google.protobuf.Any", "value": {"@type": TYPE + "google.protobuf.Int32Value", "value": "+1"}},
        {"@type": TYPE + "google.protobuf.Struct", "value": []},
        {"@type": TYPE + "probe.v1.Probe", "choiceText": "a", "choiceNumber": 1},
    ],
)
def test_an_any_that_holds_what_its_type_cannot_be_is_refused(transcoder: Transcoder, value: Any) -> None:
    for place in ({"any": value}, {"any": {"@type": TYPE + "probe.v1.Probe", "any": value}}):
        assert binding_status(transcoder, "POST", "/b/star", json.dumps(place).encode()) == 400


ANY_RULE = "must be an object whose @type names a known message, with that message's fields"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"nope": 1}, {"nope": "there is no such field"}),
        ({"child": {"child": {"nope": 1}}}, {"child.child.nope": "there is no such field"}),
        ({"repeatedChild": [{}, {"text": 5}]}, {"repeatedChild[1].text": "must be a string"}),
        ({"mapInt32Child": {"1": {"tags": "a"}}}, {'mapInt32Child["1"].tags': "must be an array"}),
        ({"m": ["a"], "boolValue": 1}, {"m": "must be an object", "boolValue": "must be true or false"}),
        ({"color": "PURPLE"}, {"color": "must be one of COLOR_UNSPECIFIED, CRIMSON, RED, GREEN"}),
        ({"timestamp": "x"}, {"timestamp": "must be a time such as 2026-01-31T09:30:00Z (RFC 3339)"}),
        ({"int32Wrapper": {}}, {"int32Wrapper": "must be an integer from -2147483648 to 2147483647"}),
        ({"repeatedInt32": [1, None]}, {"repeatedInt32[1]": "must be an integer from -2147483648 to 2147483647"}),
        ({"int32Value": "1_0"}, {"int32Value": "must be an integer from -2147483648 to 2147483647"}),
        ({"any": {"@type": "x/y"}}, {"any": ANY_RULE}),
        (
            {"mapInt32Child": {"1": {"child": {"number": "0x1"}}}},
            {'mapInt32Child["1"].child.number': "must be an integer from -2147483648 to 2147483647"},
        ),
        ({"repeated_int32": [1, "_"]}, {"repeated_int32[1]": "must be an integer from -2147483648 to 2147483647"}),
        ([], {"body": "must be an object"}),
    ],
)
async def test_every_field_that_is_wrong_is_named(edge: Edge, body: Any, errors: dict[str, str]) -> None:
    problem = json.loads((await edge("POST", "/b/star", json.dumps(body))).body)

    assert {error["field"]: error["detail"] for error in problem["errors"]} == errors


@pytest.mark.parametrize("value", [[1] * 150_000, {"nope": "x" * 300_000}])
async def test_a_large_body_is_refused_without_a_word_of_the_program(edge: Edge, value: Any) -> None:
    problem = json.loads((await edge("POST", "/b/star", json.dumps({"stringValue": value}))).body)

    assert problem["code"] == "invalid_argument"
    assert problem["detail"].endswith("too large to say which.")


async def test_an_unknown_field_has_its_own_code(edge: Edge) -> None:
    problem = json.loads((await edge("POST", "/b/star", '{"nope": 1}')).body)

    assert problem["code"] == "unknown_field"
    assert problem["detail"] == "nope: there is no such field."


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["stringValue", "int32_value", "int64Value", "color", "child", "repeatedChild", "m", "mapInt32Child", "timestamp",
     "duration", "mask", "any", "jsonValue", "struct", "choiceText", "int64Wrapper", "bytesValue", "doubleValue", "x"]
)  # fmt: skip


@given(value=st.dictionaries(NAMES, JSON_VALUES, max_size=4))
def test_any_json_is_read_or_refused_and_nothing_else(transcoder: Transcoder, value: Any) -> None:
    assert binding_status(transcoder, "POST", "/b/star", json.dumps(value).encode()) in (200, 400)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS = INT32 | INT32.map(str) | st.sampled_from([1.0, -0.0, "1e3", 1e3, "-5", 0])
FREE = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
CHILDREN = st.fixed_dictionaries({}, optional={"text": TEXT, "tags": st.lists(TEXT, max_size=2), "number": NUMBERS})
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "stringValue": TEXT | st.none(),
        "int32_value": NUMBERS,
        "int64Value": INT64 | INT64.map(str),
        "boolValue": st.booleans(),
        "doubleValue": st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from(["NaN", "-Infinity", "1.5e3", 7]),
        "bytesValue": st.binary(max_size=6).map(lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=")),
        "color": st.sampled_from(["RED", "CRIMSON", 2, 99, -1]),
        "child": CHILDREN | st.none(),
        "repeatedInt32": st.lists(NUMBERS, max_size=3),
        "m": st.dictionaries(TEXT, TEXT, max_size=2),
        "map_bool_bool": st.dictionaries(st.sampled_from(["true", "false"]), st.booleans()),
        "mapInt32Child": st.dictionaries(INT32.map(str), CHILDREN, max_size=2),
        "int32Wrapper": NUMBERS,
        "int64Wrapper": INT64.map(str) | st.none(),
        "timestamp": st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat()),
        "duration": st.sampled_from(["0s", "-0.5s", "1.000000001s", "315576000000s"]),
        "mask": st.sampled_from(["", "foo", "foo,barBaz", "a.bC"]),
        "jsonValue": FREE,
        "struct": st.dictionaries(TEXT, FREE, max_size=2),
        "choiceText": TEXT,
        "renamedField": TEXT,
    },
)


@settings(max_examples=60)
@given(value=DOCUMENTS)
def test_what_is_read_is_what_google_s_runtime_reads(
    transcoder: Transcoder, messages: Messages, value: dict[str, Any]
) -> None:
    text = json.dumps(value).encode()
    bound = transcoder.match("POST", "/b/star").route.bind([], "", text, "")

    expected = json_format.Parse(text, messages["probe.v1.Probe"](), descriptor_pool=messages.pool)
    assert messages["probe.v1.Probe"].FromString(bound).SerializeToString(deterministic=True) == (
        expected.SerializeToString(deterministic=True)  # compared as bytes: a NaN equals nothing
    )


SECONDS = st.integers(-62135596800, 253402300799)  # the years 1 to 9999


@st.composite
def probes(draw: st.DrawFn) -> dict[str, Any]:
    number = st.integers(-(2**31), 2**31 - 1)
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    child = st.fixed_dictionaries({}, optional={"text": text, "number": number, "tags": st.lists(text, max_size=3)})
    fields = {
        "string_value": text,
        "int64_value": st.integers(-(2**63), 2**63 - 1),
        "double_value": st.floats(allow_nan=False),
        "bytes_value": st.binary(max_size=9),
        "color": number,
        "child": child,
        "repeated_child": st.lists(child, max_size=3),
        "m": st.dictionaries(text, text, max_size=3),
        "opt_string": text,
        "choice_number": number,
        "timestamp": st.fixed_dictionaries({"seconds": SECONDS, "nanos": st.integers(0, 999999999)}),
    }
    return draw(st.fixed_dictionaries({}, optional=fields))


@given(fields=probes())
def test_a_message_survives_the_way_through_json(
    transcoder: Transcoder, messages: Messages, fields: dict[str, Any]
) -> None:
    match = transcoder.match("POST", "/b/star")
    message = messages["probe.v1.Probe"](**fields)

    printed = match.route.print_body(message.SerializeToString()).data
    read = messages["probe.v1.Probe"].FromString(match.route.bind([], "", printed, ""))

    assert read == message
    assert json_format.Parse(printed, messages["probe.v1.Probe"]()) == message


def test_descriptors_of_generated_code_which_lack_json_names_do_as_well(descriptors: bytes, messages: Messages) -> None:
    stripped = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    probe = next(found for file in stripped.file for found in file.message_type if found.name == "Probe")
    for field in probe.field:
        if field.name != "custom_named":  # protoc keeps the names that somebody chose
            field.ClearField("json_name")
    transcoder = Transcoder(stripped.SerializeToString(), GrpcUpstream({}))

    sent = transcoder.match("POST", "/b/star").route.bind((), "", b'{"int32Value": 1, "renamedField": "a"}', "")

    assert messages["probe.v1.Probe"].FromString(sent) == messages["probe.v1.Probe"](int32_value=1, custom_named="a")
