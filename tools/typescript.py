"""The data types that TypeScript declaration files describe, as JSON schemas that take no member they do not name."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[\w$]+|\S')
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_INTERFACE = re.compile(r"export interface (\w+)(?: extends ([\w, ]+))? \{")
_TYPE = re.compile(r"export type (\w+) = (?=[^;])")
_ENUM = re.compile(r"export declare enum (\w+) \{([^}]*)\}")
# cdk8s makes a class of what is a number or a text.
_EITHER = re.compile(r"export declare class (\w+) \{(?=[^}]*static fromNumber\()(?=[^}]*static fromString\()")
_ALIASES = re.compile(r"export type \{ ([^}]*) \}")
_PLAIN: Mapping[str, Schema] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "Date": {"type": "string"},
    "any": {},
}


def types(text: str) -> dict[str, Schema]:
    """Every type that a file exports, by each of its names.

    Another type is `{"$ref": its name}`; an interface that extends others has their names in `extends`.
    """
    text = _COMMENT.sub("", text)
    found = dict(_own(text))
    for names in _ALIASES.findall(text):
        aliases = (pair.split(" as ") for pair in names.split(", "))
        found |= {alias: found[own] for own, alias in aliases if own in found}
    return found


def _own(text: str) -> Iterator[tuple[str, Schema]]:
    for match in _INTERFACE.finditer(text):
        schema = _Reader(text[match.end() :]).members()
        yield match[1], {**schema, "extends": match[2].split(", ")} if match[2] else schema
    for match in _TYPE.finditer(text):
        yield match[1], _Reader(text[match.end() :]).type()
    for name, values in _ENUM.findall(text):
        yield name, {"enum": [json.loads(value) for value in re.findall(r'= ("[^"]*")', values)]}
    for name in _EITHER.findall(text):
        yield name, {"type": ["number", "string"]}


class _Reader:
    """Reads types from where it stands."""

    def __init__(self, text: str) -> None:
        self._words = _WORD.finditer(text)
        self._next = next(self._words)[0]

    def type(self) -> Schema:
        options = [self._listed()]
        while self._skip("|"):
            options.append(self._listed())
        return options[0] if len(options) == 1 else {"anyOf": options}

    def members(self) -> Schema:
        """What stands after an opening brace, up to the closing one."""
        properties: dict[str, Schema] = {}
        required: list[str] = []
        others: Schema | bool = False
        while not self._skip("}"):
            self._skip("readonly")
            if self._skip("["):
                self._expect("key", ":", "string", "]", ":")
                others = self.type()
            else:
                name = self._take().strip('"')
                if not self._skip("?"):
                    required.append(name)
                self._expect(":")
                properties[name] = self.type()
            self._skip(";")
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": others}

    def _listed(self) -> Schema:
        schema = self._one()
        while self._skip("["):
            self._expect("]")
            schema = {"type": "array", "items": schema}
        return schema

    def _one(self) -> Schema:
        word = self._take()
        if word == "{":
            return self.members()
        if word[0] in '"0123456789':
            return {"const": json.loads(word)}
        if word == "Array":
            self._expect("<")
            items = self.type()
            self._expect(">")
            return {"type": "array", "items": items}
        return dict(_PLAIN.get(word, {"$ref": word}))

    def _take(self) -> str:
        word = self._next
        self._next = next(self._words, [""])[0]
        return word

    def _skip(self, word: str) -> bool:
        return self._next == word and bool(self._take())

    def _expect(self, *words: str) -> None:
        for word in words:
            if (found := self._take()) != word:
                raise SyntaxError(f"{word} expected, not {found}")
