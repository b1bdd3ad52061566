"""Query parameters to the bytes of a request message."""

from collections.abc import Collection
from typing import NamedTuple

from protobuf import DescField, DescFieldValueList, DescFieldValueMessage, DescMessage

from edge.transcoder.escapes import EscapeError, decode_form
from edge.transcoder.fields import by_name
from edge.transcoder.problems import FieldError, Problem, Refused
from edge.transcoder.wire import TEXT_TYPES, WRAPPERS, Encode, TextError, encoder

_DEEPEST = 32  # names in one parameter: far beyond any API, far below the codecs' own limit of 100


class _Parameter(NamedTuple):
    """What a parameter's name stands for. `bound_elsewhere`: the path or the body has this field."""

    path: tuple[str, ...]
    repeated: bool
    bound_elsewhere: bool
    encode: Encode | None
    oneofs: tuple[tuple[tuple[str, ...], str], ...]


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
        self._top: dict[str, _Parameter | str] = {}

    def bind(self, query: str) -> bytes:
        """The wire bytes of every parameter, in their order; raises Refused."""
        parts: list[bytes] = []
        seen: set[tuple[str, ...]] = set()
        chosen: dict[tuple[tuple[str, ...], str], tuple[str, ...]] = {}
        for pair in query.split("&"):
            if not pair:
                continue
            name, text = _decoded(pair)
            parameter = self._parameter(name)
            if isinstance(parameter, str):
                if self._ignore_unknown:
                    continue
                raise _refused("unknown_parameter", name, parameter)
            if parameter.bound_elsewhere or parameter.encode is None:
                continue
            if not parameter.repeated:
                if parameter.path in seen:
                    raise _refused("invalid_parameter", name, "must be given once")
                seen.add(parameter.path)
            for place in parameter.oneofs:
                member = parameter.path[: len(place[0]) + 1]
                if chosen.setdefault(place, member) != member:
                    raise _refused("invalid_parameter", name, f"only one field of {place[1]} can be given")
            try:
                parts.append(parameter.encode(text))
            except TextError as error:
                raise _refused("invalid_parameter", name, str(error)) from None
        return b"".join(parts)

    def _parameter(self, name: str) -> _Parameter | str:
        """What the name stands for, or why it stands for nothing."""
        known = self._top.get(name)
        if known is not None:
            return known
        try:
            parameter = self._resolve(name)
        except ValueError as error:
            return str(error)
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
            bound_elsewhere=elsewhere,
            encode=None if elsewhere else encoder(chain),
            oneofs=tuple(
                (path[:depth], oneof.name)
                for depth, field in enumerate(chain)
                if (oneof := getattr(field.value, "oneof", None)) is not None
            ),
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


def _refused(code: str, name: str, detail: str) -> Refused:
    problem_code = "unknown_field" if code == "unknown_parameter" else "invalid_argument"
    return Refused(Problem(400, problem_code, f"{name}: {detail}.", [FieldError(name, detail, code)]))
