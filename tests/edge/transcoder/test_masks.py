"""The update mask that a PATCH gets when it gives none (AIP-134)."""

import json
from typing import Any

import pytest

from edge.transcoder import GrpcUpstream, Options, Transcoder
from tests.edge.transcoder.probe import Edge, Messages

SHELF = "/v1/shelves/1"


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"int32Value": 1}, ["int32_value"]),
        ({"int32_value": 0, "renamedField": "a"}, ["int32_value", "custom_named"]),
        ({"child": {"text": "a", "child": {"number": 1}}}, ["child.text", "child.child.number"]),
        ({"child": {}}, ["child"]),
        ({"child": {"child": {}}}, ["child.child"]),
        ({"child": None, "optString": None, "int64Value": None}, ["child", "opt_string", "int64_value"]),
        ({"repeatedChild": [{"text": "a"}], "repeatedInt32": []}, ["repeated_child", "repeated_int32"]),
        ({"m": {"a": "b"}, "mapInt32Child": {"1": {"text": "a"}}}, ["m", "map_int32_child"]),
        ({"timestamp": "2026-01-01T00:00:00Z", "duration": "1s"}, ["timestamp", "duration"]),
        ({"int32Wrapper": 1, "struct": {"a": 1}, "jsonValue": {"b": 2}}, ["int32_wrapper", "struct", "json_value"]),
        ({"any": {"@type": "type.googleapis.com/probe.v1.Child", "text": "a"}}, ["any"]),
        ({"mask": "a.b"}, ["mask"]),
        ({"choiceChild": {"text": "a"}}, ["choice_child.text"]),
        ({"choiceNumber": 0}, ["choice_number"]),
        ({"stringValue": "mallory", "boolValue": True}, ["bool_value"]),  # the path binds the name
        ({}, []),
    ],
)
async def test_a_patch_without_a_mask_names_the_fields_of_its_body(
    edge: Edge, messages: Messages, body: dict[str, Any], paths: list[str]
) -> None:
    await edge("PATCH", SHELF, json.dumps(body))

    sent = messages["probe.v1.UpdateShelfRequest"].FromString(edge.seen.requests[-1])
    assert (list(sent.update_mask.paths), sent.HasField("update_mask")) == (paths, True)
    assert sent.shelf.string_value == "shelves/1"


async def test_a_patch_without_a_body_names_nothing(edge: Edge, messages: Messages) -> None:
    await edge("PATCH", SHELF)

    sent = messages["probe.v1.UpdateShelfRequest"].FromString(edge.seen.requests[-1])
    assert (list(sent.update_mask.paths), sent.HasField("update_mask")) == ([], True)


@pytest.mark.parametrize(
    ("query", "mask"),
    [
        ("updateMask=boolValue,child.text", "boolValue,child.text"),
        ("update_mask=boolValue", "boolValue"),
        ("update%5Fmask=boolValue", "boolValue"),
        ("updateMask=", ""),
    ],
)
async def test_a_mask_that_the_client_gives_is_left_as_it_is(edge: Edge, query: str, mask: str) -> None:
    answer = await edge("PATCH", f"{SHELF}?{query}", '{"int32Value": 1}')

    assert json.loads(answer.body)["updateMask"] == mask


@pytest.mark.parametrize(("method", "path"), [("PUT", SHELF), ("PATCH", "/v1/shelves"), ("PATCH", "/b/child/a")])
async def test_no_mask_is_made_where_none_is_due(edge: Edge, method: str, path: str) -> None:
    answer = await edge(method, path, "{}")

    assert (answer.status, "updateMask" in json.loads(answer.body)) == (200, False)


async def test_a_body_that_is_refused_makes_no_mask(edge: Edge) -> None:
    for body in ('{"nope": 1}', "null", '{"int32Value": "x"}', '{"child": 1}', "{"):
        assert (await edge("PATCH", SHELF, body)).status == 400


async def test_a_malformed_query_is_a_bad_request(edge: Edge) -> None:
    for query in ("%zz=1", "updateMask=%FF", "updateMask=fooBar,&updateMask=a"):
        assert (await edge("PATCH", f"{SHELF}?{query}", "{}")).status == 400


def test_unknown_fields_that_are_ignored_are_not_named(descriptors: bytes, messages: Messages) -> None:
    transcoder = Transcoder(descriptors, GrpcUpstream({}), Options(ignore_unknown=True))
    match = transcoder.match("PATCH", SHELF)

    data = match.route.bind(match.segments, "", b'{"nope": 1, "boolValue": true}', "")

    sent = messages["probe.v1.UpdateShelfRequest"].FromString(data)
    assert list(sent.update_mask.paths) == ["bool_value"]
