"""The rules of strings and bytes."""

import re
from collections.abc import Iterator

from edge.transcoder.openapi.constraints import Constraints, Rules

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


def string_rules(rules: Rules, found: Constraints) -> None:
    found.equal(rules, zero="")
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


def bytes_rules(rules: Rules, found: Constraints) -> None:
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
    found.equal(rules, zero="")
    for name, sentence in (("ip", "4 or 16"), ("ipv4", "4"), ("ipv6", "16"), ("uuid", "16")):
        if rules.get(name):
            found.say(f"{sentence} bytes: {'a UUID' if name == 'uuid' else 'an IP address'}.")
            found.zero = False
