"""The rules of numbers and spans of time."""

from collections.abc import Callable, Mapping
from typing import Any

from edge.transcoder.openapi.constraints import Constraints, Rules

WIDE = frozenset({"int64", "uint64", "sint64", "fixed64", "sfixed64"})
NUMBERS = WIDE | {"int32", "uint32", "sint32", "fixed32", "sfixed32", "float", "double"}

_KEYWORDS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
_OBEYS: Mapping[str, Callable[[Any], bool]] = {  # whether zero does
    "gt": lambda bound: bound < 0,
    "gte": lambda bound: bound <= 0,
    "lt": lambda bound: bound > 0,
    "lte": lambda bound: bound >= 0,
}
_WORDS = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most"}


def number_rules(rules: Rules, found: Constraints, *, wide: bool) -> None:
    found.equal(rules, zero="0" if wide else 0)
    bounds = {name: _value(rules[name]) for name in ("gt", "gte", "lt", "lte") if name in rules}
    if rules.get("finite"):
        found.say("Neither NaN nor infinite.")
    if not bounds:
        return
    low, high = _low(bounds), _high(bounds)
    outside = low is not None and high is not None and high < low  # the rule for a range turned inside out
    obeyed = [_OBEYS[name](value) for name, value in bounds.items()]
    found.zero = found.zero and (any(obeyed) if outside else all(obeyed))
    if wide:
        _wide_range(bounds, found, outside=outside)
    elif outside:
        ends = [{_KEYWORDS[name]: value} for name, value in bounds.items()]
        found.schema["anyOf"] = ends
    else:
        found.schema |= {_KEYWORDS[name]: value for name, value in bounds.items()}


def span_rules(rules: Rules, found: Constraints) -> None:
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
    found.equal(rules, zero=None)
    found.zero = True  # these have presence: nothing is no zero


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
