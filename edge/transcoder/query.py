"""Query parameters to the bytes of a request message."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from protobuf import DescField, DescFieldValueMessage, DescMessage

from edge.transcoder.escapes import EscapeError, decode_form
from edge.transcoder.fields import by_name
from edge.transcoder.given import Given, Place, place_at, place_of
from edge.transcoder.problems import FieldError, Problem, Refused
from edge.transcoder.wire import TEXT_TYPES, WRAPPERS, Encode, TextError, UnknownName, encoder

_DEEPEST = 32  # names in one parameter: far beyond any API, far below the codecs' own limit of 100


class _Parameter(NamedTuple):
    """What a parameter's name stands for. Without an encoder, the path or the body binds its field."""

    place: Place
    encode: Encode | None


class Query:
    """Binds the query string of one route, or the texts of a form.

    A parameter that names a field which the path or the body binds is not a query parameter (HttpRule, rule 1) and
    changes nothing; one that names another member of that field's oneof would unset it, and is refused. One that names
    no field is refused, and so is the name of no enum value, unless unknown names are ignored.
    """

    def __init__(
        self,
        message: DescMessage,
        *,
        elsewhere: Collection[tuple[str, ...]],
        body: str,
        ignore_unknown: bool,
        noun: str = "parameter",
    ) -> None:
        """`elsewhere` are the paths of fields that the path template binds, `body` the rule's body clause.

        `noun` is what refusals call a parameter. Raises ValueError if path and body bind two members of one oneof.
        """
        self._message = message
        self._elsewhere = frozenset(elsewhere)
        self._body = body
        self._ignore_unknown = ignore_unknown
        self._noun = noun
        bound = (*elsewhere, (body,)) if body not in ("", "*") else elsewhere
        places = (place_at(message, path) for path in bound)
        self._chosen = tuple(place for place in places if place.oneofs)
        self.given()  # raises for two members of one oneof
        self._names: dict[DescMessage, dict[str, DescField]] = {}
        self._top: dict[str, _Parameter] = {}

    def bind(self, query: str) -> bytes:
        """The wire bytes of every parameter, in their order; raises Refused."""
        return self.bind_pairs((_decoded(pair) for pair in query.split("&") if pair), self.given())

    def given(self) -> Given:
        """What is set before the first parameter."""
        return Given(self._chosen)

    def bind_pairs(self, pairs: Iterable[tuple[str, str]], given: Given) -> bytes:
        """The same for names and texts that are no longer encoded, beside what has been given already."""
        parts: list[bytes] = []
        for name, text in pairs:
            parameter = self._parameter(name)
            if parameter is None or parameter.encode is None:
                continue
            try:
                given.add(parameter.place)
                parts.append(parameter.encode(text))
            except UnknownName as error:
                if not self._ignore_unknown:
                    raise self._refused("invalid", name, str(error)) from None
            except TextError as error:
                raise self._refused("invalid", name, str(error)) from None
        return b"".join(parts)

    def _parameter(self, name: str) -> _Parameter | None:
        """What the name stands for; None if that is nothing, and nothing is to be said about it."""
        known = self._top.get(name)
        if known is not None:
            return known
        try:
            parameter = self._resolve(name)
        except ValueError as error:
            if self._ignore_unknown:
                return None
            raise self._refused("unknown", name, str(error)) from None
        if "." not in name:
            self._top[name] = parameter  # the names of fields are few; nested names of recursive types are not
        return parameter

    def _resolve(self, name: str) -> _Parameter:
        chain = self._chain(name)
        place = place_of(chain)
        path = place.path
        elsewhere = self._body in ("*", path[0]) or any(path[: len(taken)] == taken for taken in self._elsewhere)
        return _Parameter(place, None if elsewhere else encoder(chain))

    def _chain(self, name: str) -> list[DescField]:
        """The fields that a dotted name goes through; raises ValueError if there is no such field."""
        message: DescMessage | None = self._message
        chain: list[DescField] = []
        parts = name.split(".")
        for part in parts[:_DEEPEST]:
            field = self._fields(message).get(part) if message else None
            if field is None:
                break
            chain.append(field)
            message = _inside(field)
        if len(chain) < len(parts):
            raise ValueError(f"there is no such {self._noun}")
        return chain

    def _fields(self, message: DescMessage) -> dict[str, DescField]:
        fields = self._names.get(message)
        if fields is None:
            fields = self._names[message] = by_name(message)
        return fields

    def _refused(self, why: str, name: str, detail: str) -> Refused:
        code = "unknown_field" if why == "unknown" else "invalid_argument"
        error = FieldError(name, detail, f"{why}_{self._noun}")
        return Refused(Problem(400, code, f"{name}: {detail}.", [error]))


def _inside(field: DescField) -> DescMessage | None:
    """The message whose fields a parameter may name behind this field."""
    match field.value:
        case DescFieldValueMessage(message=message) if message.type_name not in WRAPPERS | set(TEXT_TYPES):
            return message
    return None


def _decoded(pair: str) -> tuple[str, str]:
    name, _, text = pair.partition("=")
    try:
        return decode_form(name), decode_form(text)
    except EscapeError as error:
        raise Refused(Problem(400, "malformed_url", f"{error}.")) from None
