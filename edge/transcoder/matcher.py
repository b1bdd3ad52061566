"""A trie over raw path segments: literal before `*` before `**`, whatever the order of registration."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from edge.transcoder.templates import Template, normal

T = TypeVar("T")
Methods = dict[str, T]


@dataclass(slots=True)
class _Node(Generic[T]):
    """One place in the trie; the tables are by verb, then by HTTP method."""

    literals: dict[str, "_Node[T]"] = field(default_factory=dict)
    star: "_Node[T] | None" = None
    here: dict[str, Methods[T]] = field(default_factory=dict)
    rest: dict[str, Methods[T]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What a path leads to, and its segments as they were written (without the verb)."""

    target: T
    segments: list[str]


class Matcher(Generic[T]):
    """Finds what is registered for a method and a raw path.

    `find` goes on to a less specific template when the more specific one has no such method, so `GET /a/b` does not
    hide `POST /a/*`. A verb counts only where it is registered: elsewhere a colon is part of the segment.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._verbs: set[str] = set()

    def methods(self, template: Template) -> Methods[T]:
        """The table of HTTP methods at the template's place, for the caller to fill."""
        node = self._root
        for segment in template.segments:
            if segment == "**":
                break
            if segment == "*":
                node.star = node.star or _Node()
                node = node.star
            else:
                node = node.literals.setdefault(segment, _Node())
        if template.verb:
            self._verbs.add(normal(template.verb))
        tables = node.rest if template.segments[-1] == "**" else node.here
        return tables.setdefault(normal(template.verb), {})

    def find(self, method: str, path: str) -> Found[T] | None:
        """Find the most specific target that serves `method`; None if there is no such path or no such method."""
        for segments, verb in self._readings(path):
            keys = [normal(segment) for segment in segments] if "%" in path else segments
            target = _search(self._root, keys, 0, verb, method)
            if target is not None:
                return Found(target, segments)
            if verb and any(_tables(self._root, keys, 0, verb)):
                return None  # a registered verb never falls back into a variable
        return None

    def allowed(self, path: str) -> set[str]:
        """The methods that some template serves at this path; empty if there is no such path."""
        for segments, verb in self._readings(path):
            found = {m for table in _tables(self._root, [normal(s) for s in segments], 0, verb) for m in table}
            if found:
                return found
        return set()

    def _readings(self, path: str) -> Iterator[tuple[list[str], str]]:
        """The ways to read a path: with the text after the last raw colon as a verb, then without."""
        segments = path.split("/")[1:] if path != "/" else []
        if segments and ":" in segments[-1]:
            stem, _, verb = segments[-1].rpartition(":")
            verb = normal(verb)
            if verb in self._verbs:
                yield ([*segments[:-1], stem] if stem or len(segments) > 1 else []), verb
        yield segments, ""


def _search(node: _Node[T], segments: list[str], depth: int, verb: str, method: str) -> T | None:
    """The most specific target that serves the method."""
    found: T | None = None
    if depth == len(segments):
        if verb in node.here:
            found = _pick(node.here[verb], method)
    else:
        segment = segments[depth]
        if segment in node.literals:
            found = _search(node.literals[segment], segments, depth + 1, verb, method)
        if found is None and segment and node.star is not None:
            found = _search(node.star, segments, depth + 1, verb, method)
    if found is None and verb in node.rest:
        found = _pick(node.rest[verb], method)
    return found


def _tables(node: _Node[T], segments: list[str], depth: int, verb: str) -> Iterator[Methods[T]]:
    """Every table that the segments lead to."""
    if depth == len(segments):
        if verb in node.here:
            yield node.here[verb]
    else:
        segment = segments[depth]
        if segment in node.literals:
            yield from _tables(node.literals[segment], segments, depth + 1, verb)
        if segment and node.star is not None:
            yield from _tables(node.star, segments, depth + 1, verb)
    if verb in node.rest:
        yield node.rest[verb]


def _pick(table: Methods[T], method: str) -> T | None:
    if method in table:
        return table[method]
    if method == "HEAD" and "GET" in table:
        return table["GET"]
    return table.get("*")
