"""Forms to message bytes: files to `bytes` and google.api.HttpBody fields, other parts as in a query string."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from protobuf import DescField, DescMessage, ScalarType

from edge.transcoder.fields import is_http_body, is_map, is_singular, kind_of
from edge.transcoder.given import Place, place_at, place_of
from edge.transcoder.parts import Part, parts_of, refused
from edge.transcoder.query import Query
from edge.transcoder.wire import TextError, http_body, length_delimited, message_field


@dataclass(frozen=True, slots=True)
class _Target:
    """What a file fills: a field, or the message itself, an HttpBody. `is_bytes`: the file is the whole value."""

    name: str
    place: Place
    field: DescField | None
    is_bytes: bool = False

    def encode(self, part: Part) -> bytes:
        """The wire bytes of the field."""
        if self.field is not None and self.is_bytes:
            return length_delimited(self.field.number, part.data)
        body = http_body(part.content_type.encode(), part.data)
        return body if self.field is None else message_field(self.field, body)


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
        given = self._text.given()
        for part in parts_of(data, content_type):
            target = self._target_of(part)
            if target is None:
                if not part.is_file:
                    texts.append((part.name, part.text))
                elif not self._ignore_unknown:
                    raise refused(part.name, "takes no file")
                continue
            try:
                given.add(target.place)
            except TextError as error:
                raise refused(part.name, str(error)) from None
            files.append(target.encode(part))
        if self._only is not None and not files:
            raise refused(self._only.name, "the form has no such file")
        return b"".join(files) + self._text.bind_pairs(texts, given)

    def _target_of(self, part: Part) -> _Target | None:
        """The field that the part is a file for; None if there is none, or if the part is text for one."""
        target = self._targets.get(part.name)
        if self._only is not None:
            return self._only if part.is_file or target is not None else None
        return target if part.is_file or (target is not None and not target.is_bytes) else None


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
        only = _Target("data", place_at(message, ("data",)), None)
        targets = {only.name: only}
    else:
        targets = _by_name(field for field in message.fields if (field.name,) not in elsewhere)
    if not targets or (body is not None and only is None):
        return None
    if only is not None:
        elsewhere.add((body.name if body is not None else only.name,))
    text = Query(message, elsewhere=elsewhere, body="", ignore_unknown=ignore_unknown, noun="part")
    return Form(targets, only, text, ignore_unknown=ignore_unknown)


def _by_name(fields: Iterable[DescField]) -> dict[str, _Target]:
    found = ((field, _target(field)) for field in fields)
    return {name: target for field, target in found if target for name in (field.name, field.json_name)}


def _target(field: DescField) -> _Target | None:
    kind = kind_of(field)
    is_bytes = kind is ScalarType.BYTES
    if is_map(field) or not (is_bytes or is_http_body(kind)):
        return None
    return _Target(field.json_name, place_of([field]), field, is_bytes)
