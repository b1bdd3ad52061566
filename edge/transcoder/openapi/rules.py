"""`buf.validate` rules as JSON Schema: keywords where it has them, sentences where it has none."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from protobuf import DescEnum, DescField, DescMessage, DescOneof, Message, Registry, message_to_json_value

from edge.transcoder.openapi.constraints import Constraints, Rules
from edge.transcoder.openapi.number_rules import NUMBERS, WIDE, number_rules, span_rules
from edge.transcoder.openapi.text_rules import bytes_rules, string_rules


class Validation:
    """Reads the rules of one descriptor set; one that does not import `buf.validate` has none."""

    def __init__(self, registry: Registry) -> None:
        self._extensions = {name: registry.extension(f"buf.validate.{name}") for name in ("field", "message", "oneof")}

    def of_field(self, desc: DescField, enum: DescEnum | None) -> Constraints:
        """What the field's rules ask. `enum` is the field's, whose numbers rules name."""
        return _constraints(self._rules("field", desc), enum)

    def items_of(self, desc: DescField, part: str, enum: DescEnum | None) -> Constraints:
        """What the rules ask of each element (`items`), or of each key or value of a map (`keys`, `values`)."""
        rules = self._rules("field", desc)
        if rules.get("ignore") == "IGNORE_ALWAYS":
            return Constraints()
        inside = rules.get("repeated", rules.get("map", {}))
        return _constraints(inside.get(part, {}), enum)

    def of_message(self, desc: DescMessage) -> list[str]:
        """What the message's own rules ask, in sentences."""
        rules, found = self._rules("message", desc), Constraints()
        _say_cel(rules, found)
        for group in rules.get("oneof", ()):
            found.say(one_of(group["fields"], required=group.get("required", False)))
        return found.sentences

    def is_required(self, desc: DescOneof) -> bool:
        """Whether one of the fields must be set."""
        return bool(self._rules("oneof", desc).get("required", False))

    def _rules(self, kind: str, desc: DescField | DescMessage | DescOneof) -> Rules:
        extension, options = self._extensions[kind], desc.proto.options
        if extension is None or options is None or extension.type not in options:
            return {}
        found = cast(Message, cast(Any, options)[extension.type])
        return cast(Rules, message_to_json_value(found))


def one_of(names: list[str], *, required: bool) -> str:
    """The sentence about fields of which one may, or must, be set."""
    return f"{'Exactly' if required else 'At most'} one of {', '.join(f'`{name}`' for name in names)} is set."


def _constraints(rules: Rules, enum: DescEnum | None) -> Constraints:
    found = Constraints()
    if rules.get("ignore") == "IGNORE_ALWAYS":
        return found
    found.required = rules.get("required", False)
    for kind, inside in rules.items():
        if kind in NUMBERS:
            number_rules(inside, found, wide=kind in WIDE)
        elif kind == "enum":
            _enum(inside, found, enum)
        elif kind in _READERS:
            _READERS[kind](inside, found)
    _say_cel(rules, found)
    if rules.get("ignore") == "IGNORE_IF_ZERO_VALUE":
        _allow_zero(found, rules, enum)
    return found


def _allow_zero(found: Constraints, rules: Rules, enum: DescEnum | None) -> None:
    """Let the zero value pass beside what the rules ask for."""
    if not found.zero and found.schema:
        found.schema = {"anyOf": [found.schema, {"const": _zero(rules, enum)}]}
    found.zero = True


def _zero(rules: Rules, enum: DescEnum | None) -> Any:
    """The zero value of the type that the rules are for, as JSON prints it."""
    if "enum" in rules and enum is not None:
        return next((value.name for value in enum.values if value.number == 0), 0)
    for kind, empty in (("string", ""), ("bytes", ""), ("bool", False), ("repeated", []), ("map", {})):
        if kind in rules:
            return empty
    return "0" if not WIDE.isdisjoint(rules) else 0


def _say_cel(rules: Rules, found: Constraints) -> None:
    for rule in rules.get("cel", ()):
        text = rule.get("message") or f"Obeys `{rule.get('expression', '')}`."
        found.say(text[:1].upper() + text[1:])
    for expression in rules.get("celExpression", ()):
        found.say(f"Obeys `{expression}`.")


def _enum(rules: Rules, found: Constraints, enum: DescEnum | None) -> None:
    names = {value.number: value.name for value in enum.values} if enum else {}
    named = {
        rule: [names[number] for number in value if number in names] if isinstance(value, list) else names.get(value)
        for rule, value in rules.items()
        if rule in ("const", "in", "notIn")
    }
    found.equal(named, zero=names.get(0))


def _bool(rules: Rules, found: Constraints) -> None:
    found.equal(rules, zero=False)


def _repeated(rules: Rules, found: Constraints) -> None:
    if int(rules.get("minItems", 0)):
        found.schema["minItems"], found.zero = int(rules["minItems"]), False
    if "maxItems" in rules:
        found.schema["maxItems"] = int(rules["maxItems"])
    if rules.get("unique"):
        found.schema["uniqueItems"] = True


def _map(rules: Rules, found: Constraints) -> None:
    if int(rules.get("minPairs", 0)):
        found.schema["minProperties"], found.zero = int(rules["minPairs"]), False
    if "maxPairs" in rules:
        found.schema["maxProperties"] = int(rules["maxPairs"])


def _paths(rules: Rules, found: Constraints) -> None:
    """A FieldMask's or Any's lists."""
    if "const" in rules:
        found.say(f"Exactly `{rules['const']}`.")
    if "in" in rules:
        found.say(f"Only {', '.join(f'`{name}`' for name in rules['in'])}.")
    if "notIn" in rules:
        found.say(f"Never {', '.join(f'`{name}`' for name in rules['notIn'])}.")


_READERS: Mapping[str, Callable[[Rules, Constraints], None]] = {
    "string": string_rules,
    "bytes": bytes_rules,
    "bool": _bool,
    "repeated": _repeated,
    "map": _map,
    "timestamp": span_rules,
    "duration": span_rules,
    "fieldMask": _paths,
    "any": _paths,
}
