"""What rules ask of one value, as JSON Schema and in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]
Rules = Mapping[str, Any]  # FieldRules as ProtoJSON prints them: 64-bit numbers as text


@dataclass(slots=True)
class Constraints:
    """What rules ask of one value. `zero` says whether the type's zero value obeys them."""

    schema: Schema = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    zero: bool = True
    required: bool = False

    def pattern(self, text: str) -> None:
        """Ask for a match; a second pattern stands beside the first."""
        if "pattern" in self.schema:
            self.schema.setdefault("allOf", []).append({"pattern": text})
        else:
            self.schema["pattern"] = text

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence if sentence.endswith((".", "!", "?")) else f"{sentence}.")

    def equal(self, rules: Rules, *, zero: Any) -> None:
        """Take in `const`, `in` and `not_in`. Values stay as JSON prints them; `zero` is the type's zero value."""
        if "const" in rules:
            self.schema["const"] = rules["const"]
            self.zero = self.zero and rules["const"] == zero
        if "in" in rules:
            self.schema["enum"] = list(rules["in"])
            self.zero = self.zero and zero in rules["in"]
        if "notIn" in rules:
            self.schema["not"] = {"enum": list(rules["notIn"])}
            self.zero = self.zero and zero not in rules["notIn"]
