"""Path templates: the grammar of google/api/http.proto, and nothing beyond it."""

import re
from dataclasses import dataclass

_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=@]|%[0-9A-Fa-f]{2})+")
_FIELD_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_SEGMENT = re.compile(r"/(?:\{(?P<field>[^{}=]*)(?:=(?P<inner>[^{}]*))?\}|(?P<plain>[^/{}]*))")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]")


class TemplateError(ValueError):
    """The template breaks the grammar; the message says where."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A part of the path that goes into a request field.

    `end` is None for a variable that takes the rest of the path. `multi` variables keep an encoded slash.
    """

    path: tuple[str, ...]
    start: int
    end: int | None
    multi: bool


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: its segments (a literal, `*` or `**`) without variables, and where the variables are."""

    text: str
    segments: tuple[str, ...]
    verb: str
    variables: tuple[Variable, ...]


def parse(text: str) -> Template:
    """Read a template; raises TemplateError. The grammar is the comment of HttpRule in google/api/http.proto."""
    head, colon, verb = text.partition(":")  # a literal holds no colon, so the first one starts the verb
    if colon and not _LITERAL.fullmatch(verb):
        raise TemplateError(f"the verb {verb!r} is not a literal")
    segments: list[str] = []
    variables: list[Variable] = []
    position = 0
    while position < len(head) or not segments:
        found = _SEGMENT.match(head, position)
        if not found:
            raise TemplateError(f"expected '/' and a segment at {head[position:]!r}")
        position = found.end()
        if found["field"] is None:
            segments.append(_segment(found["plain"]))
        else:
            variables.append(_variable(found["field"], "*" if found["inner"] is None else found["inner"], segments))
    _check(segments, variables)
    return Template(text, tuple(segments), verb, tuple(variables))


def _variable(field: str, inner: str, segments: list[str]) -> Variable:
    """Read `{field=inner}`, adding its segments to the template's."""
    if not _FIELD_PATH.fullmatch(field):
        raise TemplateError(f"{field!r} is not a field path")
    start = len(segments)
    segments.extend(_segment(part) for part in inner.split("/"))
    rest = segments[-1] == "**"
    return Variable(
        path=tuple(field.split(".")),
        start=start,
        end=None if rest else len(segments),
        multi=rest or len(segments) - start > 1,
    )


def _segment(text: str) -> str:
    if text in ("*", "**"):
        return text
    if not _LITERAL.fullmatch(text):
        raise TemplateError(f"{text!r} is not a segment: it must be '*', '**', a literal or a variable")
    return normal(text)


def _check(segments: list[str], variables: list[Variable]) -> None:
    if "**" in segments[:-1]:
        raise TemplateError("'**' must be the last segment")
    paths = [variable.path for variable in variables]
    for path in paths:
        if paths.count(path) > 1:
            raise TemplateError(f"the variable {'.'.join(path)} is bound twice")


def normal(segment: str) -> str:
    """Spell equivalent segments alike: unreserved characters plain, the other escapes in capitals (RFC 3986, 6.2.2)."""
    return _ESCAPE.sub(_normal_escape, segment) if "%" in segment else segment


def _normal_escape(found: re.Match[str]) -> str:
    character = chr(int(found[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else found[0].upper()
