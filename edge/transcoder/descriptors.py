"""A descriptor set as the transcoder needs it: its types, and the HTTP rules of its RPCs."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from protobuf import DescMethod, DescService, Registry
from protobuf.wkt import FileDescriptorSet

from edge.transcoder.templates import Template, TemplateError, parse

_AFTER_UNDERSCORES = re.compile(r"_+(.?)")


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


def rules_of(registry: Registry) -> Iterator[Rule]:
    """Every binding of every annotated RPC, in the order of the files; raises RuleError."""
    extension = registry.extension("google.api.http")
    if extension is None:
        return
    for service in [found for found in registry if isinstance(found, DescService)]:
        for method in service.methods:
            options = method.proto.options
            if options is not None and extension.type in options:
                yield from _bindings(method, cast(Any, options[extension.type]))


def full_name(method: DescMethod) -> str:
    return f"{method.parent.type_name}.{method.name}"


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
    for nested in message.nested_type:
        _complete(nested)


def _json_name(name: str) -> str:
    """The JSON name of a field that has none: protoc writes it, but not into the descriptors of generated code."""
    return _AFTER_UNDERSCORES.sub(lambda found: found[1].upper(), name)


def _first_alias_last(enum: Any) -> None:
    """Put the first name of each number behind its aliases: ProtoJSON prints the first, the codec the last it saw."""
    groups: dict[int, list[Any]] = {}
    for value in enum.value:
        groups.setdefault(value.number, []).append(value)
    enum.value = [value for group in groups.values() for value in (*group[1:], group[0])]
