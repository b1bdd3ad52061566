"""Query parameters to the bytes of a request message."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from protobuf import DescField, DescFieldValueList, DescFieldValueMessage, DescMessage

from edge.transcoder.escapes import EscapeError, decode_form
from edge.transcoder.fields import by_name
from edge.transcoder.problems import FieldError, Problem, Refused
from edge.transcoder.wire import TEXT_TYPES, WRAPPERS, Encode, TextError, encoder

_DEEPEST = 32  # names in one parameter: far beyond any API, far below the codecs' own limit of 100


class _Parameter(NamedTuple):
    """What a parameter's name stands for. Without an encoder, the path or the body binds its field."""

    path: tuple[str, ...]
    repeated: bool
    oneofs: tuple[tuple[tuple[str, ...], str], ...]
    encode: Encode | None


class Query:
    """Binds the query string of one route.

    A parameter that names a field which the path or the body binds is not a query parameter (HttpRule, rule 1) and
    changes nothing; one that names no field is refused, unless unknown names are ignored.
    """

    def __init__(
        self, message: DescMessage, *, elsewhere: Collection[tuple[str, ...]], body: str, ignore_unknown: bool
    ) -> None:
        """`elsewhere` are the paths of fields that the path template binds, `body` the rule's body clause."""
        self._message = message
        self._elsewhere = frozenset(elsewhere)
        self._body = body
        self._ignore_unknown = ignore_unknown
        self._names: dict[DescMessage, dict[str, DescField]] = {}
        self._top: dict[str, _Parameter] = {}

    def bind(self, query: str) -> bytes:
        """The wire bytes of every parameter, in their order; raises Refused."""
        return self.bind_pairs(_decoded(pair) for pair in query.split("&") if pair)

    def bind_pairs(self, pairs: Iterable[tuple[str, str]]) -> bytes:
        """The same for names and texts that are no longer encoded."""
        parts: list[bytes] = []
        given = _Given()
        for name, text in pairs:
            parameter = self._parameter(name)
            if parameter is None or parameter.encode is None:
                continue
            try:
                given.add(parameter)
                parts.append(parameter.encode(text))
            except TextError as error:
                raise _refused("invalid_argument", FieldError(name, str(error), "invalid_parameter")) from None
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
            raise _refused("unknown_field", FieldError(name, str(error), "unknown_parameter")) from None
        if "." not in name:
            self._top[name] = parameter  # the names of fields are few; nested names of recursive types are not
        return parameter

    def _resolve(self, name: str) -> _Parameter:
        chain = self._chain(name)
        path = tuple(field.name for field in chain)
        elsewhere = self._body in ("*", path[0]) or any(path[: len(taken)] == taken for taken in self._elsewhere)
        return _Parameter(
            path=path,
            repeated=isinstance(chain[-1].value, DescFieldValueList),
            oneofs=tuple(
                (path[:depth], oneof.name)
                for depth, field in enumerate(chain)
                if (oneof := getattr(field.value, "oneof", None)) is not None
            ),
            encode=None if elsewhere else encoder(chain),
        )

    def _chain(self, name: str) -> list[DescField]:
        """The fields that a dotted name goes through; raises ValueError if there is no such field."""
        message: DescMessage | None = self._message
        chain: list[DescField] = []
        parts = name.split(".")
        for part in parts[:_DEEPEST]:
            field = self._fields(message).get(part) if message else None
            if field is None:
                raise ValueError("there is no such parameter")
            chain.append(field)
            message = _inside(field)
        if len(parts) > _DEEPEST:
            raise ValueError("there is no such parameter")
        return chain

    def _fields(self, message: DescMessage) -> dict[str, DescField]:
        fields = self._names.get(message)
        if fields is None:
            fields = self._names[message] = by_name(message)
        return fields


class _Given:
    """What the parameters so far have set."""

    def __init__(self) -> None:
        self._paths: set[tuple[str, ...]] = set()
        self._members: dict[tuple[tuple[str, ...], str], tuple[str, ...]] = {}

    def add(self, parameter: _Parameter) -> None:
        """Raise TextError for a second value of a singular field, or for a second field of a oneof."""
        if not parameter.repeated:
            if parameter.path in self._paths:
                raise TextError("must be given once")
            self._paths.add(parameter.path)
        for place in parameter.oneofs:
            member = parameter.path[: len(place[0]) + 1]
            if self._members.setdefault(place, member) != member:
                raise TextError(f"only one field of {place[1]} can be given")


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
        raise Refused(Problem(400, "malformed_url", str(error))) from None


def _refused(code: str, error: FieldError) -> Refused:
    return Refused(Problem(400, code, f"{error.field}: {error.detail}.", [error]))
