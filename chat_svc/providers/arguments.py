"""The arguments of tool calls, which models write as text and some wires take as an object."""

import json


def read_arguments(text: str) -> dict[str, object]:
    """The object that the arguments are; what is none is kept under `arguments`, so that the model sees its mistake."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = text
    return found if isinstance(found, dict) else {"arguments": found}
