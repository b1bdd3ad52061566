"""How `buf.validate` rules are said: as keywords where JSON Schema has them, else in words."""

from collections.abc import Callable
from typing import Any

import pytest

Field = Callable[[str], dict[str, Any]]

_SEGMENT = "[A-Za-z_][A-Za-z_0-9]*"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("min_len = 2", {"minLength": 2, "required": True}),
        ("max_len = 9", {"maxLength": 9, "required": False}),
        ("len = 4", {"minLength": 4, "maxLength": 4, "required": True}),
        ('pattern = "^[a-z]*$"', {"pattern": "^[a-z]*$", "required": False}),
        ('pattern = "^[a-z]+$"', {"pattern": "^[a-z]+$", "required": True}),
        ('prefix = "pm_"', {"pattern": "^pm_", "required": True}),
        ('suffix = ".pdf"', {"pattern": r"\.pdf$", "required": True}),
        ('contains = "@"', {"pattern": "@", "required": True}),
        ('not_contains = "."', {"not": {"pattern": r"\."}, "required": False}),
        ('in = ["a", "b"]', {"enum": ["a", "b"], "required": True}),
        ('in = ["", "a"]', {"enum": ["", "a"], "required": False}),
        ('not_in = ["root"]', {"not": {"enum": ["root"]}, "required": False}),
        ('const = "yes"', {"const": "yes", "required": True}),
        ("email = true", {"format": "email", "required": True}),
        ("uuid = true", {"format": "uuid", "required": True}),
        ("uri = true", {"format": "uri", "required": True}),
        ("uri_ref = true", {"format": "uri-reference", "required": False}),
        ("hostname = true", {"format": "hostname", "required": True}),
        ("ipv4 = true", {"format": "ipv4", "required": True}),
        ("ipv6 = true", {"format": "ipv6", "required": True}),
        ("ip = true", {"description": "An IP address.", "required": True}),
        ("max_bytes = 5", {"description": "At most 5 bytes of UTF-8.", "required": False}),
        ("protobuf_fqn = true", {"pattern": rf"^{_SEGMENT}(\.{_SEGMENT})*$", "required": True}),
        (
            "well_known_regex = KNOWN_REGEX_HTTP_HEADER_NAME",
            {"description": "The name of an HTTP header.", "required": True},
        ),
    ],
)
def test_the_rules_of_a_string(field_of: Field, rules: str, expected: dict[str, Any]) -> None:
    name, _, value = rules.partition(" = ")

    schema = field_of(f"string f = 1 [(buf.validate.field).string = {{{name}: {value}}}];")

    assert schema == {"type": "string", **expected}


def test_two_patterns_of_one_string_both_hold(field_of: Field) -> None:
    schema = field_of('string f = 1 [(buf.validate.field).string = {prefix: "a" suffix: "z"}];')

    assert (schema["pattern"], schema["allOf"]) == ("^a", [{"pattern": "z$"}])


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("gte: 0 lte: 100", {"minimum": 0, "maximum": 100, "required": False}),
        ("gt: 0 lt: 10", {"exclusiveMinimum": 0, "exclusiveMaximum": 10, "required": True}),
        ("gt: 10 lt: -10", {"anyOf": [{"exclusiveMaximum": -10}, {"exclusiveMinimum": 10}], "required": True}),
        ("gte: 5 lte: 5", {"minimum": 5, "maximum": 5, "required": True}),
        ("const: 7", {"const": 7, "required": True}),
        ("in: [0, 1]", {"enum": [0, 1], "required": False}),
        ("not_in: [0]", {"not": {"enum": [0]}, "required": True}),
    ],
)
def test_the_rules_of_a_number(field_of: Field, rules: str, expected: dict[str, Any]) -> None:
    schema = field_of(f"int32 f = 1 [(buf.validate.field).int32 = {{{rules}}}];")

    assert sorted(schema.pop("anyOf", []), key=str) == expected.pop("anyOf", [])
    assert schema == {"type": "integer", "format": "int32", **expected}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("gte: 0", {"pattern": "^[0-9]+$", "description": "At least 0.", "required": False}),
        ("gt: -5 lt: 5", {"pattern": "^-?[0-9]+$", "description": "More than -5 and less than 5.", "required": False}),
        ("in: [1, 2]", {"pattern": "^-?[0-9]+$", "enum": ["1", "2"], "required": True}),
    ],
)
def test_64_bit_numbers_are_text_whose_range_is_said_in_words(
    field_of: Field, rules: str, expected: dict[str, Any]
) -> None:
    schema = field_of(f"int64 f = 1 [(buf.validate.field).int64 = {{{rules}}}];")

    said = schema.get("description", "")
    assert sorted(said.lower().rstrip(".").split(" and ")) == sorted(
        expected.pop("description", "").lower().rstrip(".").split(" and ")
    )
    schema.pop("description", None)
    assert schema == {"type": "string", "format": "int64", **expected}


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        ("bool f = 1 [(buf.validate.field).bool.const = true];", {"type": "boolean", "const": True, "required": True}),
        (
            "bytes f = 1 [(buf.validate.field).bytes = {min_len: 1 max_len: 4}];",
            {
                "type": "string",
                "contentEncoding": "base64",
                "minLength": 2,
                "maxLength": 8,
                "description": "At least 1 and at most 4 bytes.",
                "required": True,
            },
        ),
        (
            "Colour f = 1 [(buf.validate.field).enum = {defined_only: true not_in: [0]}];",
            {
                "$ref": "#/components/schemas/Colour",
                "not": {"enum": ["COLOUR_UNSPECIFIED"]},
                "required": True,
            },
        ),
        (
            "repeated string f = 1 [(buf.validate.field).repeated = "
            "{min_items: 1 max_items: 3 unique: true items: {string: {max_len: 5}}}];",
            {
                "type": "array",
                "items": {"type": "string", "maxLength": 5},
                "minItems": 1,
                "maxItems": 3,
                "uniqueItems": True,
                "required": True,
            },
        ),
        (
            "map<string, int32> f = 1 [(buf.validate.field).map = "
            "{min_pairs: 1 max_pairs: 3 keys: {string: {min_len: 1}} values: {int32: {gt: 0}}}];",
            {
                "type": "object",
                "additionalProperties": {"type": "integer", "format": "int32", "exclusiveMinimum": 0},
                "propertyNames": {"minLength": 1},
                "minProperties": 1,
                "maxProperties": 3,
                "required": True,
            },
        ),
        (
            "google.protobuf.Timestamp f = 1 [(buf.validate.field).timestamp.gt_now = true];",
            {"type": "string", "format": "date-time", "description": "In the future.", "required": False},
        ),
    ],
)
def test_the_rules_of_other_kinds(field_of: Field, declaration: str, expected: dict[str, Any]) -> None:
    assert field_of(declaration) == expected


@pytest.mark.parametrize(
    ("declaration", "sentence"),
    [
        ("google.protobuf.Duration f = 1 [(buf.validate.field).duration.gte.seconds = 1];", "At least 1s."),
        ("google.protobuf.Timestamp f = 1 [(buf.validate.field).timestamp.within.seconds = 60];", "Within 60s of now."),
        ('google.protobuf.FieldMask f = 1 [(buf.validate.field).field_mask.in = "a"];', "Only `a`."),
        ("double f = 1 [(buf.validate.field).double.finite = true];", "Neither NaN nor infinite."),
        (
            'string f = 1 [(buf.validate.field).cel = {id: "f" message: "must be odd" expression: "this != \'\'"}];',
            "Must be odd.",
        ),
        ("string f = 1 [(buf.validate.field).cel_expression = \"this != ''\"];", "Obeys `this != ''`."),
    ],
)
def test_what_no_keyword_says_is_in_the_description(field_of: Field, declaration: str, sentence: str) -> None:
    assert field_of(declaration)["description"].splitlines()[-1] == sentence


def test_required_says_itself_also_for_a_field_with_presence(field_of: Field) -> None:
    assert field_of("M f = 1 [(buf.validate.field).required = true];")["required"]
    assert not field_of("optional string f = 1 [(buf.validate.field).string.min_len = 1];")["required"]


def test_rules_that_spare_the_zero_value_allow_it(field_of: Field) -> None:
    spared = "(buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE"

    schema = field_of(f"string f = 1 [(buf.validate.field).string.uuid = true, {spared}];")

    assert schema == {"type": "string", "anyOf": [{"format": "uuid"}, {"const": ""}], "required": False}


def test_an_enum_whose_zero_is_spared_names_it(field_of: Field) -> None:
    spared = "(buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE"

    schema = field_of(f"Colour f = 1 [(buf.validate.field).enum = {{in: [1]}}, {spared}];")

    assert schema["anyOf"] == [{"enum": ["RED"]}, {"const": "COLOUR_UNSPECIFIED"}]


def test_ignored_rules_say_nothing(field_of: Field) -> None:
    rules = "(buf.validate.field).string.uuid = true, (buf.validate.field).ignore = IGNORE_ALWAYS"

    assert field_of(f"string f = 1 [{rules}];") == {"type": "string", "required": False}
