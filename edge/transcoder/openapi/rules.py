"""`buf.validate` rules as JSON Schema: keywords where it has them, sentences where it has none."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from protobuf import DescEnum, DescField, DescMessage, DescOneof, Message, Registry, message_to_json_value

Schema = dict[str, Any]
Rules = Mapping[str, Any]  # FieldRules as ProtoJSON prints them: 64-bit numbers as text

_WIDE = frozenset({"int64", "uint64", "sint64", "fixed64", "sfixed64"})
_NUMBERS = _WIDE | {"int32", "uint32", "sint32", "fixed32", "sfixed32", "float", "double"}
_FORMATS = {name: name for name in ("email", "hostname", "ipv4", "ipv6", "uri", "uuid")} | {"uriRef": "uri-reference"}
_PATTERNS = {
    "tuuid": "^[0-9a-fA-F]{32}$",
    "ulid": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$",
    "protobufFqn": r"^[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*$",
    "protobufDotFqn": r"^\.[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*$",
}
_IN_WORDS = {
    "ip": "An IP address.",
    "address": "A host name or an IP address.",
    "hostAndPort": "A host name or an IP address, with a port.",
    "ipWithPrefixlen": "An IP address with the length of its prefix.",
    "ipv4WithPrefixlen": "An IPv4 address with the length of its prefix.",
    "ipv6WithPrefixlen": "An IPv6 address with the length of its prefix.",
    "ipPrefix": "An IP prefix.",
    "ipv4Prefix": "An IPv4 prefix.",
    "ipv6Prefix": "An IPv6 prefix.",
}
_REGEXES = {"HTTP_HEADER_NAME": "The name of an HTTP header.", "HTTP_HEADER_VALUE": "The value of an HTTP header."}


@dataclass(slots=True)
class Constraints:
    """What rules ask of one value. `zero` says whether the type's zero value obeys them."""

    schema: Schema = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    zero: bool = True
    required: bool = False

    def pattern(self, text: str) -> None:
        """Ask for a match; a second pattern stands beside the first."""
        if "pattern" in self.schema:
            self.schema.setdefault("allOf", []).append({"pattern": text})
        else:
            self.schema["pattern"] = text

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence if sentence.endswith((".", "!", "?")) else f"{sentence}.")


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
        if kind in _NUMBERS:
            _number(inside, found, wide=kind in _WIDE)
        elif kind == "enum":
            _enum(inside, found, enum)
        elif kind in _READERS:
            _READERS[kind](inside, found)
    _say_cel(rules, found)
    if rules.get("ignore") == "IGNORE_IF_ZERO_VALUE":
        _allow_zero(found, rules)
    return found


def _allow_zero(found: Constraints, rules: Rules) -> None:
    """Let the zero value pass beside what the rules ask for."""
    if not found.zero and found.schema:
        empty: Any = "" if "string" in rules or "bytes" in rules else [] if "repeated" in rules else 0
        if any(kind in rules for kind in _WIDE):
            empty = "0"
        found.schema = {"anyOf": [found.schema, {"const": empty}]}
    found.zero = True


def _say_cel(rules: Rules, found: Constraints) -> None:
    for rule in rules.get("cel", ()):
        text = rule.get("message") or f"Obeys `{rule.get('expression', '')}`."
        found.say(text[:1].upper() + text[1:])
    for expression in rules.get("celExpression", ()):
        found.say(f"Obeys `{expression}`.")


def _string(rules: Rules, found: Constraints) -> None:
    _equality(rules, found, zero="")
    shortest, longest = int(rules.get("minLen", 0)), rules.get("maxLen")
    if "len" in rules:
        shortest = longest = int(rules["len"])
    if shortest:
        found.schema["minLength"], found.zero = shortest, False
    if longest is not None:
        found.schema["maxLength"] = int(longest)
    _bytes_of_string(rules, found)
    for pattern in _string_patterns(rules):
        found.pattern(pattern)
        found.zero = found.zero and _matches_nothing(pattern)
    if "notContains" in rules:
        found.schema.setdefault("not", {})["pattern"] = _literal(rules["notContains"])
    _string_format(rules, found)


def _bytes_of_string(rules: Rules, found: Constraints) -> None:
    for name, words in (("minBytes", "At least"), ("maxBytes", "At most"), ("lenBytes", "Exactly")):
        if name in rules:
            found.say(f"{words} {rules[name]} bytes of UTF-8.")
            found.zero = found.zero and (name == "maxBytes" or int(rules[name]) == 0)


def _string_patterns(rules: Rules) -> Iterator[str]:
    if "pattern" in rules:
        yield rules["pattern"]
    if "prefix" in rules:
        yield f"^{_literal(rules['prefix'])}"
    if "suffix" in rules:
        yield f"{_literal(rules['suffix'])}$"
    if "contains" in rules:
        yield _literal(rules["contains"])
    yield from (pattern for name, pattern in _PATTERNS.items() if rules.get(name))


def _literal(text: str) -> str:
    """The text as a pattern; Python escapes more than ECMA-262 has escapes for."""
    return re.sub(r"([\\^$.*+?()\[\]{}|/])", r"\\\1", text)


def _matches_nothing(pattern: str) -> bool:
    try:
        return re.search(pattern, "") is not None
    except re.error:  # RE2 has syntax of its own
        return True


def _string_format(rules: Rules, found: Constraints) -> None:
    for name, value in _FORMATS.items():
        if rules.get(name):
            found.schema["format"] = value
            found.zero = found.zero and name == "uriRef"
    for name, sentence in _IN_WORDS.items():
        if rules.get(name):
            found.say(sentence)
            found.zero = False
    regex = rules.get("wellKnownRegex", "").removeprefix("KNOWN_REGEX_")
    if regex in _REGEXES:
        found.say(_REGEXES[regex])
        found.zero = found.zero and regex == "HTTP_HEADER_VALUE"


def _bytes(rules: Rules, found: Constraints) -> None:
    """Lengths count bytes; the schema's count the characters of base64, padded or not."""
    shortest, longest = int(rules.get("minLen", 0)), rules.get("maxLen")
    if "len" in rules:
        shortest = longest = int(rules["len"])
        found.say(f"Exactly {shortest} bytes.")
    elif shortest or longest is not None:
        parts = [f"at least {shortest}"] if shortest else []
        parts += [f"at most {longest}"] if longest is not None else []
        found.say(f"{' and '.join(parts)} bytes.".capitalize())
    if shortest:
        found.schema["minLength"], found.zero = -(-shortest * 4 // 3), False
    if longest is not None:
        found.schema["maxLength"] = -(-int(longest) // 3) * 4
    for name, words in (("pattern", "match"), ("prefix", "begin with"), ("suffix", "end with"), ("contains", "hold")):
        if name in rules:
            found.say(f"The bytes {words} `{rules[name]}`{'' if name == 'pattern' else ' (base64)'}.")
    _equality(rules, found, zero="")
    for name, sentence in (("ip", "4 or 16"), ("ipv4", "4"), ("ipv6", "16"), ("uuid", "16")):
        if rules.get(name):
            found.say(f"{sentence} bytes: {'a UUID' if name == 'uuid' else 'an IP address'}.")
            found.zero = False


def _number(rules: Rules, found: Constraints, *, wide: bool) -> None:
    _equality(rules, found, zero="0" if wide else 0)
    bounds = {name: _value(rules[name]) for name in ("gt", "gte", "lt", "lte") if name in rules}
    if rules.get("finite"):
        found.say("Neither NaN nor infinite.")
    if not bounds:
        return
    low, high = _low(bounds), _high(bounds)
    outside = low is not None and high is not None and high <= low  # the rule for a range turned inside out
    obeyed = [_OBEYS[name](value) for name, value in bounds.items()]
    found.zero = found.zero and (any(obeyed) if outside else all(obeyed))
    if wide:
        _wide_range(bounds, found, outside=outside)
    elif outside:
        ends = [{_KEYWORDS[name]: value} for name, value in bounds.items()]
        found.schema["anyOf"] = ends
    else:
        found.schema |= {_KEYWORDS[name]: value for name, value in bounds.items()}


_KEYWORDS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
_OBEYS: Mapping[str, Callable[[Any], bool]] = {  # whether zero does
    "gt": lambda bound: bound < 0,
    "gte": lambda bound: bound <= 0,
    "lt": lambda bound: bound > 0,
    "lte": lambda bound: bound >= 0,
}
_WORDS = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most"}


def _wide_range(bounds: Mapping[str, Any], found: Constraints, *, outside: bool) -> None:
    """The range of a number that JSON carries as text, which a schema cannot compare."""
    joint = " or " if outside else " and "
    found.say(joint.join(f"{_WORDS[name]} {value}" for name, value in bounds.items()).capitalize())
    if not outside and (low := _low(bounds)) is not None and low >= 0:
        found.schema["pattern"] = "^[0-9]+$"


def _low(bounds: Mapping[str, Any]) -> Any:
    return bounds.get("gt", bounds.get("gte"))


def _high(bounds: Mapping[str, Any]) -> Any:
    return bounds.get("lt", bounds.get("lte"))


def _value(printed: Any) -> Any:
    """A number as ProtoJSON printed it; one that is not finite stays a word."""
    if not isinstance(printed, str):
        return printed
    return int(printed) if printed.lstrip("-").isdigit() else float(printed)


def _equality(rules: Rules, found: Constraints, *, zero: Any) -> None:
    """`const`, `in` and `not_in`; values stay as JSON prints them."""
    if "const" in rules:
        found.schema["const"] = rules["const"]
        found.zero = found.zero and rules["const"] == zero
    if "in" in rules:
        found.schema["enum"] = list(rules["in"])
        found.zero = found.zero and zero in rules["in"]
    if "notIn" in rules:
        found.schema["not"] = {"enum": list(rules["notIn"])}
        found.zero = found.zero and zero not in rules["notIn"]


def _enum(rules: Rules, found: Constraints, enum: DescEnum | None) -> None:
    names = {value.number: value.name for value in enum.values} if enum else {}
    named = {
        rule: [names[number] for number in value if number in names] if isinstance(value, list) else names.get(value)
        for rule, value in rules.items()
        if rule in ("const", "in", "notIn")
    }
    _equality(named, found, zero=names.get(0))


def _bool(rules: Rules, found: Constraints) -> None:
    _equality(rules, found, zero=False)


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


def _span(rules: Rules, found: Constraints) -> None:
    """A Timestamp's or Duration's range, which JSON Schema has no keyword for."""
    bounds = {name: rules[name] for name in ("gt", "gte", "lt", "lte") if name in rules}
    if bounds:
        found.say(" and ".join(f"{_WORDS[name]} {value}" for name, value in bounds.items()).capitalize())
    if rules.get("ltNow"):
        found.say("In the past.")
    if rules.get("gtNow"):
        found.say("In the future.")
    if "within" in rules:
        found.say(f"Within {rules['within']} of now.")
    _equality(rules, found, zero=None)
    found.zero = True  # these have presence: nothing is no zero


def _paths(rules: Rules, found: Constraints) -> None:
    """A FieldMask's or Any's lists."""
    if "const" in rules:
        found.say(f"Exactly `{rules['const']}`.")
    if "in" in rules:
        found.say(f"Only {', '.join(f'`{name}`' for name in rules['in'])}.")
    if "notIn" in rules:
        found.say(f"Never {', '.join(f'`{name}`' for name in rules['notIn'])}.")


_READERS: Mapping[str, Callable[[Rules, Constraints], None]] = {
    "string": _string,
    "bytes": _bytes,
    "bool": _bool,
    "repeated": _repeated,
    "map": _map,
    "timestamp": _span,
    "duration": _span,
    "fieldMask": _paths,
    "any": _paths,
}
