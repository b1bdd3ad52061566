"""Forms to message bytes: files to `bytes` and google.api.HttpBody fields, other parts as in a query string."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from protobuf import DescField, DescMessage, ScalarType

from edge.transcoder.fields import is_http_body, is_map, is_singular, kind_of
from edge.transcoder.parts import Part, parts_of
from edge.transcoder.problems import FieldError, Problem, Refused
from edge.transcoder.query import Query
from edge.transcoder.wire import length_delimited

_CONTENT_TYPE, _DATA = 1, 2  # of google.api.HttpBody


@dataclass(frozen=True, slots=True)
class _Target:
    """A field that a file can fill. Without a number the file is the message itself, an HttpBody."""

    name: str
    number: int | None
    raw: bool
    repeated: bool = False

    def encode(self, part: Part) -> bytes:
        """The wire bytes of the field."""
        data = part.data
        if not self.raw:
            data = length_delimited(_DATA, data)
            if part.content_type:
                data = length_delimited(_CONTENT_TYPE, part.content_type.encode()) + data
        return data if self.number is None else length_delimited(self.number, data)


class Form:
    """Binds the forms of one route.

    If one field (or the message itself) is the body, the form must hold one file for it, whatever name it has; a part
    with the field's name is that file even without a file name. If the body is the whole message, files go to the
    fields that they are named for, and may be left out. The rest of the parts are text for fields, as in the query.
    """

    def __init__(
        self, targets: Mapping[str, _Target], only: _Target | None, text: Query, *, ignore_unknown: bool
    ) -> None:
        """`targets` are the fields for files, by both of their names; `only` is the one that is the body."""
        self._targets = targets
        self._only = only
        self._text = text
        self._ignore_unknown = ignore_unknown

    def __call__(self, data: bytes, content_type: str) -> bytes:
        """The message's wire bytes; raises Refused, with the part named."""
        files: list[bytes] = []
        texts: list[tuple[str, str]] = []
        seen: set[_Target] = set()
        for part in parts_of(data, content_type):
            target = self._target_of(part)
            if target is None:
                if not part.is_file:
                    texts.append((part.name, part.text))
                elif not self._ignore_unknown:
                    raise _refused(part.name, "takes no file")
                continue
            if target in seen and not target.repeated:
                raise _refused(part.name, "must be given once")
            seen.add(target)
            files.append(target.encode(part))
        if self._only is not None and not seen:
            raise _refused(self._only.name, "the form has no such file")
        return b"".join(files) + self._text.bind_pairs(texts)

    def _target_of(self, part: Part) -> _Target | None:
        """The field that the part is a file for; None if there is none, or if the part is text for one."""
        target = self._targets.get(part.name)
        if self._only is not None:
            return self._only if part.is_file or target is not None else None
        return target if part.is_file or (target is not None and not target.raw) else None


def form_of(
    message: DescMessage, body: DescField | None, *, bound: Iterable[tuple[str, ...]], ignore_unknown: bool
) -> Form | None:
    """How forms become a message; None if no file can go into it.

    `body` is the field that the body clause names, None for `*`; `bound` are the paths of fields that the path binds.
    """
    elsewhere = set(bound)
    only: _Target | None = None
    if body is not None:
        only = _target(body) if is_singular(body) else None
        targets = _by_name([body])
    elif is_http_body(message):
        only = _Target("data", None, raw=False)
        targets = {only.name: only}
    else:
        targets = _by_name(field for field in message.fields if (field.name,) not in elsewhere)
    if not targets or (body is not None and only is None):
        return None
    if only is not None:
        elsewhere.add((body.name if body is not None else only.name,))
    text = Query(message, elsewhere=elsewhere, body="", ignore_unknown=ignore_unknown)
    return Form(targets, only, text, ignore_unknown=ignore_unknown)


def _by_name(fields: Iterable[DescField]) -> dict[str, _Target]:
    found = ((field, _target(field)) for field in fields)
    return {name: target for field, target in found if target for name in (field.name, field.json_name)}


def _target(field: DescField) -> _Target | None:
    kind = kind_of(field)
    raw = kind is ScalarType.BYTES
    if is_map(field) or not (raw or is_http_body(kind)):
        return None
    return _Target(field.json_name, field.number, raw, repeated=not is_singular(field))


def _refused(name: str, detail: str) -> Refused:
    error = FieldError(name, detail, "invalid_part")
    return Refused(Problem(400, "invalid_argument", f"{name}: {detail}.", [error]))
