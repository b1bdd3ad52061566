"""The schemas of messages and enums, in the form that ProtoJSON gives them."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescMessage,
    Registry,
    ScalarType,
)

from edge.transcoder.fields import HTTP_BODY, Kind, kind_of
from edge.transcoder.nulls import Nulls
from edge.transcoder.openapi.constraints import Constraints, Schema
from edge.transcoder.openapi.rules import Validation, one_of
from edge.transcoder.wire import INTEGERS, WRAPPERS

_SIGNED, _UNSIGNED = "^-?[0-9]+$", "^[0-9]+$"
_INT32: Schema = {"type": "integer", "format": "int32"}
_UINT32: Schema = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1}
_INT64: Schema = {"type": "string", "format": "int64", "pattern": _SIGNED}
_UINT64: Schema = {"type": "string", "format": "uint64", "pattern": _UNSIGNED}
_SCALARS: Mapping[ScalarType, Schema] = {
    ScalarType.INT32: _INT32,
    ScalarType.SINT32: _INT32,
    ScalarType.SFIXED32: _INT32,
    ScalarType.UINT32: _UINT32,
    ScalarType.FIXED32: _UINT32,
    ScalarType.INT64: _INT64,
    ScalarType.SINT64: _INT64,
    ScalarType.SFIXED64: _INT64,
    ScalarType.UINT64: _UINT64,
    ScalarType.FIXED64: _UINT64,
    ScalarType.FLOAT: {"type": "number", "format": "float"},
    ScalarType.DOUBLE: {"type": "number", "format": "double"},
    ScalarType.BOOL: {"type": "boolean"},
    ScalarType.STRING: {"type": "string"},
    ScalarType.BYTES: {"type": "string", "contentEncoding": "base64"},
}
_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$",
        "description": "Seconds, such as `1.5s`.",
    },
    "google.protobuf.FieldMask": {
        "type": "string",
        "description": "Paths of fields in camelCase, separated by commas.",
    },
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Value": {"description": "Any JSON value."},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string", "description": "The URL of the message's type."}},
        "required": ["@type"],
        "additionalProperties": True,
    },
    "google.protobuf.Empty": {"type": "object"},
    HTTP_BODY: {"description": "The body itself, of any content type."},
}
_QUOTED = re.compile("`[a-z0-9_]+`")
_NULL = "google.protobuf.NullValue"


class Schemas:
    """Makes schemas and gathers the components that they refer to.

    Messages below the `inputs` are closed: what they do not name is refused. Those that are below the `outputs` too are
    open, because an answer may have more fields tomorrow. `taken` are component names that stand for something else; a
    message or enum whose short name is taken, or that shares it with another, goes by its full name. `nulls` is the
    option by which unset fields are null.
    """

    def __init__(
        self,
        registry: Registry,
        comments: Mapping[str, str],
        *,
        inputs: Collection[DescMessage],
        outputs: Collection[DescMessage],
        taken: Collection[str] = (),
        nulls: str = "",
    ) -> None:
        self.components: dict[str, Schema] = {}
        self.validation = Validation(registry)
        self._comments = comments
        self._names = _component_names(_below([*inputs, *outputs]), taken)
        self._closed = frozenset(_below(inputs)) - frozenset(_below(outputs))
        self._nulls = Nulls(registry, nulls)
        self._bodies: dict[tuple[str, frozenset[str]], str] = {}

    def of_kind(self, kind: Kind) -> Schema:
        """The schema of one value; a message or enum is referred to."""
        if isinstance(kind, DescEnum):
            return {"type": "null"} if kind.type_name == _NULL else self._reference(kind)
        if not isinstance(kind, DescMessage):
            return dict(_SCALARS[kind])
        if kind.type_name in WRAPPERS:
            return _nullable(self.of_kind(kind_of(kind.fields[0])))
        if kind.type_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[kind.type_name])
        return self._reference(kind)

    def of_field(self, field: DescField) -> Schema:
        """The schema of a field with what its comment and its rules say."""
        kind = kind_of(field)
        enum = kind if isinstance(kind, DescEnum) else None
        asked = self.validation.of_field(field, enum)
        match field.value:
            case DescFieldValueList():
                items = _constrained(self.of_kind(kind), self.validation.items_of(field, "items", enum))
                schema: Schema = {"type": "array", "items": items}
            case DescFieldValueMap(key=key):
                schema = self._map(field, key, enum)
            case _:
                schema = self.of_kind(kind)
        if self._nulls.has(field):
            schema = _nullable(schema)
        schema = _described(_constrained(schema, asked), self._comment(field))
        if field.deprecated:
            schema["deprecated"] = True
        return schema

    def is_required(self, field: DescField) -> bool:
        """Whether a message without the field is refused: by a rule that says so, or one that its zero value breaks."""
        kind = kind_of(field)
        asked = self.validation.of_field(field, kind if isinstance(kind, DescEnum) else None)
        return asked.required or (field.presence.name == "IMPLICIT" and not asked.zero)

    def body_of(self, message: DescMessage, *, without: Collection[str]) -> Schema:
        """The schema of a request body: the message without the fields that the path binds."""
        left_out = frozenset(without)
        if not left_out:
            return self.of_kind(message)
        key = (message.type_name, left_out)
        if key not in self._bodies:
            name = f"{self._names[message.type_name]}Body"
            while name in self.components:
                name += "_"
            self._bodies[key] = name
            self.components[name] = {**self._message(message, left_out), "title": name}
        return {"$ref": f"#/components/schemas/{self._bodies[key]}"}

    def comment(self, name: str) -> str:
        """The comment of an element, by its full name; empty if it has none."""
        return self._comments.get(name, "")

    def _comment(self, field: DescField) -> str:
        """The field's comment, in which other fields of its message are named as JSON spells them."""
        names = {f"`{other.name}`": f"`{other.json_name}`" for other in field.parent.fields}
        return _QUOTED.sub(
            lambda found: names.get(found[0], found[0]), self.comment(f"{field.parent.type_name}.{field.name}")
        )

    def _reference(self, desc: DescMessage | DescEnum) -> Schema:
        name = self._names[desc.type_name]
        if name not in self.components:
            self.components[name] = {}  # a placeholder, for a message that holds itself
            self.components[name] = self._enum(desc) if isinstance(desc, DescEnum) else self._message(desc)
        return {"$ref": f"#/components/schemas/{name}"}

    def _message(self, message: DescMessage, without: Collection[str] = ()) -> Schema:
        fields = [field for field in message.fields if field.name not in without]
        schema: Schema = {"type": "object", "title": self._names[message.type_name]}
        if fields:
            schema["properties"] = {field.json_name: self.of_field(field) for field in fields}
        if required := [field.json_name for field in fields if self.is_required(field)]:
            schema["required"] = required
        if message.type_name in self._closed:
            schema["additionalProperties"] = False
        if message.deprecated:
            schema["deprecated"] = True
        sentences = [*self._choices(message), *self.validation.of_message(message)]
        return _described(schema, self._comments.get(message.type_name), sentences)

    def _choices(self, message: DescMessage) -> Iterable[str]:
        """A sentence for each oneof, but for those of one `optional` field."""
        for oneof in message.oneofs:
            if len(oneof.fields) > 1:
                names = [field.json_name for field in oneof.fields]
                yield one_of(names, required=self.validation.is_required(oneof))

    def _enum(self, enum: DescEnum) -> Schema:
        # Of aliases the one that ProtoJSON prints is the last: see edge.transcoder.descriptors.
        names = list({value.number: value.name for value in enum.values}.values())
        said = [(value.name, self._comments.get(f"{enum.type_name}.{value.name}", "")) for value in enum.values]
        lines = [f"- `{name}`: {' '.join(text.split())}" for name, text in said if text]
        schema: Schema = {"type": "string", "title": self._names[enum.type_name], "enum": names}
        return _described(schema, self._comments.get(enum.type_name), ["\n".join(lines)] if lines else [])

    def _map(self, field: DescField, key: ScalarType, enum: DescEnum | None) -> Schema:
        values = _constrained(self.of_kind(kind_of(field)), self.validation.items_of(field, "values", enum))
        schema = {"type": "object", "additionalProperties": values}
        keys = self.validation.items_of(field, "keys", None)
        if asked := {**_key(key), **keys.schema}:
            schema["propertyNames"] = asked
        return _described(schema, None, [f"Each key: {sentence}" for sentence in keys.sentences])


def _below(roots: Collection[DescMessage]) -> Collection[str]:
    """The full names of messages and of every message and enum that they hold."""
    found: dict[str, None] = {}
    left: list[Kind] = list(roots)
    while left:
        desc = left.pop()
        if isinstance(desc, DescMessage | DescEnum) and desc.type_name not in found:
            found[desc.type_name] = None
            left += [kind_of(field) for field in desc.fields] if isinstance(desc, DescMessage) else []
    return found.keys()


def _component_names(full: Collection[str], taken: Collection[str]) -> dict[str, str]:
    """The component name of each full name."""
    short = Counter(name.rpartition(".")[2] for name in full)
    return {
        name: brief if brief not in taken and short[brief] == 1 else name
        for name, brief in ((name, name.rpartition(".")[2]) for name in full)
    }


def _key(scalar: ScalarType) -> Schema:
    """What the keys of a map are, which JSON always writes as text."""
    if scalar is ScalarType.BOOL:
        return {"enum": ["true", "false"]}
    if scalar in INTEGERS:
        return {"pattern": _UNSIGNED if INTEGERS[scalar].start == 0 else _SIGNED}
    return {}


def _constrained(schema: Schema, asked: Constraints) -> Schema:
    """The schema with what rules ask besides; a rule's pattern replaces the type's own, which is wider."""
    return _described({**schema, **asked.schema}, None, asked.sentences)


def _described(schema: Schema, comment: str | None, sentences: Iterable[str] = ()) -> Schema:
    """The schema with a comment before, and sentences after, the description that it has."""
    parts = [comment or "", schema.get("description", ""), *sentences]
    if text := "\n\n".join(dict.fromkeys(part for part in parts if part)):
        schema["description"] = text
    return schema


def _nullable(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds: Any = schema.get("type", "null")  # what has no type may be null anyway
    return schema if "null" in kinds else {**schema, "type": [kinds, "null"]}
