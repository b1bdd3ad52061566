"""A descriptor set as the transcoder needs it: its types, and the HTTP rules of its RPCs."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from protobuf import DescMethod, DescService, Registry
from protobuf.wkt import FileDescriptorSet
from protobuf.wkt.google.protobuf.descriptor_pb import FeatureSet, FieldDescriptorProto

from edge.transcoder.templates import Template, TemplateError, parse

_AFTER_UNDERSCORES = re.compile(r"_+(.?)")


_HTTP_METHOD = re.compile(r"\*|[A-Za-z0-9!#$%&'+.^_`|~-]+")  # a token, which is never `*` alone (RFC 9110, 5.6.2)


class RuleError(ValueError):
    """An HTTP rule cannot be served; the message names the RPC and the reason."""

    def __init__(self, rpc: str, reason: str) -> None:
        super().__init__(f"{rpc}: {reason}")


class Rule(NamedTuple):
    """One HTTP binding of an RPC, as its annotation says it."""

    method: DescMethod
    http_method: str
    template: Template
    body: str
    response_body: str


def registry_of(descriptors: bytes) -> Registry:
    """Read a serialized FileDescriptorSet, which must hold its imports; raises ValueError."""
    files = FileDescriptorSet.from_binary(descriptors)
    for file in files.file:
        for enum in file.enum_type:
            _first_alias_last(enum)
        for message in file.message_type:
            _complete(message)
    return files.to_registry()


def required_of(descriptors: bytes) -> dict[str, frozenset[str]]:
    """The names of the required fields (proto2, or the legacy presence of editions), by their message's full name.

    The registry takes them as optional: the codec would refuse each part of a request that does not hold all of them.
    """
    found: dict[str, frozenset[str]] = {}
    for file in FileDescriptorSet.from_binary(descriptors).file:
        for message in file.message_type:
            found |= _required_in(message, file.package)
    return found


def _required_in(message: Any, scope: str) -> dict[str, frozenset[str]]:
    name = f"{scope}.{message.name}" if scope else message.name
    here = frozenset(field.name for field in message.field if _is_required(field))
    found = {name: here} if here else {}
    for nested in message.nested_type:
        found |= _required_in(nested, name)
    return found


def _is_required(field: Any) -> bool:
    features = field.options.features if field.options else None
    return field.label == FieldDescriptorProto.Label.REQUIRED or (
        features is not None and features.field_presence == FeatureSet.FieldPresence.LEGACY_REQUIRED
    )


def rules_of(registry: Registry) -> Iterator[Rule]:
    """Every binding of every annotated RPC, in the order of the files; raises RuleError."""
    extension = registry.extension("google.api.http")
    if extension is None:
        return
    for service in [found for found in registry if isinstance(found, DescService)]:
        for method in service.methods:
            options = method.proto.options
            if options is not None and extension.type in options:
                try:
                    rule = cast(Any, options[extension.type])
                except (ValueError, EOFError):
                    raise RuleError(full_name(method), "its google.api.http annotation cannot be read") from None
                yield from _bindings(method, rule)


def full_name(method: DescMethod) -> str:
    return f"{method.parent.type_name}.{method.name}"


def grpc_path(method: DescMethod) -> str:
    return f"/{method.parent.type_name}/{method.name}"


def _bindings(method: DescMethod, rule: Any) -> Iterator[Rule]:
    """The rule and its additional bindings, which must not have any of their own (HttpRule)."""
    yield _binding(method, rule)
    for extra in rule.additional_bindings:
        if extra.additional_bindings:
            raise RuleError(full_name(method), "additional_bindings hold additional_bindings")
        yield _binding(method, extra)


def _binding(method: DescMethod, rule: Any) -> Rule:
    if rule.pattern is None:
        raise RuleError(full_name(method), "the HTTP rule has no pattern")
    kind, text = rule.pattern.field.upper(), rule.pattern.value
    if kind == "CUSTOM":
        kind, text = text.kind, text.path
        if not kind:
            raise RuleError(full_name(method), "the custom pattern has no kind")
        if not _HTTP_METHOD.fullmatch(kind):
            raise RuleError(full_name(method), f"the kind {kind!r} of the custom pattern is no HTTP method, nor '*'")
    try:
        template = parse(text)
    except TemplateError as error:
        raise RuleError(full_name(method), f"the template {text!r}: {error}") from None
    return Rule(method, kind, template, rule.body, rule.response_body)


def _complete(message: Any) -> None:
    for enum in message.enum_type:
        _first_alias_last(enum)
    for field in message.field:
        field.json_name = field.json_name or _json_name(field.name)
        if _is_required(field):
            _make_optional(field)
    for nested in message.nested_type:
        _complete(nested)


def _make_optional(field: Any) -> None:
    field.label = FieldDescriptorProto.Label.OPTIONAL
    if field.options is not None and field.options.features is not None:
        field.options.features.field_presence = FeatureSet.FieldPresence.EXPLICIT


def _json_name(name: str) -> str:
    """The JSON name of a field that has none: protoc writes it, but not into the descriptors of generated code."""
    return _AFTER_UNDERSCORES.sub(lambda found: found[1].upper(), name)


def _first_alias_last(enum: Any) -> None:
    """Put the first name of each number behind its aliases: ProtoJSON prints the first, the codec the last it saw."""
    groups: dict[int, list[Any]] = {}
    for value in enum.value:
        groups.setdefault(value.number, []).append(value)
    enum.value = [value for group in groups.values() for value in (*group[1:], group[0])]
