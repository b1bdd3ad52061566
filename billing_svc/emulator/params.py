"""A request's parameters: `items[0][price]=…` as nested values, and the refusal of whatever nobody asked for."""

import re
from collections.abc import Iterable, Mapping, Sequence

from billing_svc.emulator.currencies import CURRENCIES
from billing_svc.emulator.objects import Json
from billing_svc.emulator.refusals import Refused
from billing_svc.money import step

_KEYS = re.compile(r"[^\[\]]+")


def decode(pairs: Iterable[tuple[str, str]]) -> Json:
    """Form or query pairs as Stripe reads them: brackets nest, and numbered or empty brackets are a list's places."""
    root: Json = {}
    for name, value in pairs:
        keys = _KEYS.findall(name)
        *outer, last = [*keys, ""] if name.endswith("[]") else keys or [name]
        place = root
        for key in outer:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise Refused("Invalid object", param=name)
        place[last or str(len(place))] = value
    return root


class Params:
    """What a request asks for. A handler reads what it knows; `refuse_unknown` then refuses all the rest."""

    def __init__(self, values: Mapping[str, object], path: str = "") -> None:
        self._values = values
        self._path = path
        self._known: set[str] = set()
        self._children: list[Params] = []

    def text(self, name: str, default: str = "") -> str:
        value = self._take(name, default)
        if not isinstance(value, str):
            raise Refused("Invalid string", param=self._full(name))
        return value

    def required(self, name: str) -> str:
        if not (value := self.text(name)):
            raise Refused(
                f"Missing required param: {self._full(name)}.", code="parameter_missing", param=self._full(name)
            )
        return value

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """One of the words that the emulator knows; Stripe may know more."""
        if (value := self.text(name, default)) not in choices:
            raise Refused(f"Invalid {self._full(name)}: must be one of {', '.join(choices)}", param=self._full(name))
        return value

    def integer(self, name: str, default: int | None = None, *, least: int = 0, most: int = 99_999_999) -> int:
        """A whole number; 99,999,999 is the largest amount that Stripe takes."""
        text = self.text(name) if default is not None else self.required(name)
        if not text and default is not None:
            return default
        if not re.fullmatch(r"-?\d{1,18}", text) or not least <= int(text) <= most:
            message = f"Invalid integer: {text}; from {least} to {most}"
            raise Refused(message, code="parameter_invalid_integer", param=self._full(name))
        return int(text)

    def currency(self, name: str) -> str:
        """One that Stripe takes, in lower case."""
        if (code := self.required(name).lower()) not in CURRENCIES:
            raise Refused(f"Invalid currency: {code}.", param=self._full(name))
        return code

    def amount(self, name: str, currency: str, *, default: int | None = None, least: int = 0) -> int:
        """Smallest units of that currency (https://docs.stripe.com/currencies#three-decimal)."""
        amount, unit = self.integer(name, default, least=least), step(currency)
        if amount % unit:
            raise Refused(f"Invalid amount: in {currency} it must be a multiple of {unit}", param=self._full(name))
        return amount

    def boolean(self, name: str, *, default: bool = False) -> bool:
        return self.choice(name, ("true", "false"), str(default).lower()) == "true"

    def percent(self, name: str) -> float | None:
        """More than 0 and at most 100, with two decimals; None when it is not given."""
        if not (text := self.text(name)):
            return None
        if not re.fullmatch(r"\d{1,3}(\.\d{1,2})?", text) or not 0 < float(text) <= 100:
            raise Refused(f"Invalid percentage: {text}", param=self._full(name))
        return float(text)

    def given(self, name: str) -> bool:
        """Whether the request says anything about it."""
        return name in self._values

    def texts(self, name: str) -> list[str]:
        """A list of strings; none when it is not given."""
        return [value for value in self._take_object(name).values() if isinstance(value, str)]

    def metadata(self) -> dict[str, str]:
        """The caller's own notes on the object."""
        return {key: value for key, value in self._take_object("metadata").items() if isinstance(value, str)}

    def child(self, name: str) -> "Params":
        """A nested object; an empty one when it is not given."""
        self._children.append(Params(self._take_object(name), self._full(name)))
        return self._children[-1]

    def children(self, name: str) -> "list[Params]":
        """A list of nested objects."""
        places = self._take_object(name)
        found = [
            Params(value, f"{self._full(name)}[{key}]") for key, value in places.items() if isinstance(value, dict)
        ]
        self._children += found
        return found

    def refuse_unknown(self) -> None:
        for name in self._values:
            if name not in self._known:
                message = f"Received unknown parameter: {self._full(name)}"
                raise Refused(message, code="parameter_unknown", param=self._full(name))
        for child in self._children:
            child.refuse_unknown()

    def _take(self, name: str, default: object) -> object:
        self._known.add(name)
        return self._values.get(name, default)

    def _take_object(self, name: str) -> Json:
        value = self._take(name, {})
        if not isinstance(value, dict):
            raise Refused("Invalid object", param=self._full(name))
        return value

    def _full(self, name: str) -> str:
        return f"{self._path}[{name}]" if self._path else name
