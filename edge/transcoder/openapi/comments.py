"""The comments of a descriptor set: what they say of each element, and which answers they name."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.rpc import code_pb2
from protobuf.wkt import FileDescriptorSet

_CODES = "|".join(name for name in code_pb2.Code.DESCRIPTOR.values_by_name if name != "OK")
_ANSWER = re.compile(rf"({_CODES}|20[0-9]|30[0-9]|4[0-9]{2}): (.*)")
_FIRST_SENTENCE = re.compile(r"(.+?[.!?])(?:\s+|$)(.*)", re.DOTALL)
_PACKAGE = 2  # FileDescriptorProto's field numbers, as the paths of comments use them
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6


@dataclass(frozen=True, slots=True)
class Prose:
    """A comment in parts: its first sentence, the paragraphs after it, and the answers that it names.

    `errors` are by their code's name or their own status of 4xx, `successes` by the status that takes the place of 200.
    """

    summary: str
    rest: str
    errors: Mapping[str, str]
    successes: Mapping[str, str]


def comments_of(descriptors: bytes) -> Mapping[str, str]:
    """The comment of every element by its full name, paragraphs separated by an empty line.

    A descriptor set without source info has none.
    """
    found: dict[str, str] = {}
    for file in FileDescriptorSet.from_binary(descriptors).file:
        if file.source_code_info is None:
            continue
        said = {tuple(place.path): _text(place) for place in file.source_code_info.location}
        for name, path in _elements(file):
            if text := said.get(path):
                found[name] = text
    return found


def prose_of(comment: str, name: str = "") -> Prose:
    """Take a comment apart. An RPC's `name` at its beginning is left out, because a reader sees it anyway."""
    answers: dict[str, list[str]] = {}
    paragraphs: list[str] = []
    for paragraph in comment.split("\n\n"):
        if remaining := _without_answers(paragraph, answers):
            paragraphs.append(remaining)
    text = "\n\n".join(paragraphs)
    if name and text.startswith(f"{name} "):
        text = text[len(name) + 1 :]
        text = text[:1].upper() + text[1:]
    first = _FIRST_SENTENCE.fullmatch(text)
    summary, rest = (first[1], first[2]) if first else (text, "")
    said = {code: "\n\n".join(texts) for code, texts in answers.items()}
    return Prose(
        summary=" ".join(summary.split()),
        rest=rest,
        errors={code: text for code, text in said.items() if code[0] not in "23"},
        successes={status: text for status, text in said.items() if status[0] in "23"},
    )


def _without_answers(paragraph: str, answers: dict[str, list[str]]) -> str:
    """The lines of a paragraph before its first answer; an answer takes the lines up to the next one."""
    lines: list[str] = []
    said: list[str] | None = None
    for line in paragraph.splitlines():
        if found := _ANSWER.fullmatch(line):
            said = answers.setdefault(found[1], [])
            said.append(_sentence(found[2]))
        elif said is not None:
            said[-1] += f" {line}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(place: Any) -> str:
    leading, trailing = _plain(place.leading_comments), _plain(place.trailing_comments)
    return "\n\n".join(part for part in (leading, trailing) if part)


def _plain(comment: str) -> str:
    return "\n".join(line.removeprefix(" ").rstrip() for line in comment.splitlines()).strip()


def _elements(file: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every element of a file: its full name, and its path in the source info."""
    package = f"{file.package}." if file.package else ""
    yield file.package, (_PACKAGE,)
    for index, message in enumerate(file.message_type):
        yield from _in_message(message, package, (_MESSAGES, index))
    for index, enum in enumerate(file.enum_type):
        yield from _in_enum(enum, package, (_ENUMS, index))
    for index, service in enumerate(file.service):
        name, path = package + service.name, (_SERVICES, index)
        yield name, path
        for number, method in enumerate(service.method):
            yield f"{name}.{method.name}", (*path, 2, number)


def _in_message(message: Any, prefix: str, path: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    name = prefix + message.name
    yield name, path
    for index, field in enumerate(message.field):
        yield f"{name}.{field.name}", (*path, 2, index)
    for index, nested in enumerate(message.nested_type):
        yield from _in_message(nested, f"{name}.", (*path, 3, index))
    for index, enum in enumerate(message.enum_type):
        yield from _in_enum(enum, f"{name}.", (*path, 4, index))
    for index, oneof in enumerate(message.oneof_decl):
        yield f"{name}.{oneof.name}", (*path, 8, index)


def _in_enum(enum: Any, prefix: str, path: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    name = prefix + enum.name
    yield name, path
    for index, value in enumerate(enum.value):
        # Not as protobuf scopes it, beside the enum, but as people look for it.
        yield f"{name}.{value.name}", (*path, 2, index)
