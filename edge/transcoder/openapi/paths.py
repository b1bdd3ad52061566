"""Path templates as OpenAPI writes them, and the parameters that are in a path."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from protobuf import DescField, DescMessage

from edge.transcoder.fields import by_name, kind_of
from edge.transcoder.openapi.constraints import Schema
from edge.transcoder.openapi.schemas import Schemas
from edge.transcoder.templates import Template, Variable


@dataclass(slots=True)
class Paths:
    """Spells templates. Those that differ only in names of variables are one path to OpenAPI: the first names it."""

    _by_shape: dict[str, tuple[str, Sequence[str]]] = field(default_factory=dict)

    def spell(self, template: Template) -> tuple[str, Sequence[str]]:
        """The path, and the names of its parameters in their order."""
        names = list(_names(template))
        shape = _joined(template, ["" for _ in names])
        return self._by_shape.setdefault(shape, (_joined(template, names), names))


def path_parameters(template: Template, names: Sequence[str], message: DescMessage, schemas: Schemas) -> list[Schema]:
    """A parameter for every wildcard of the template."""
    wildcards = [index for index, segment in enumerate(template.segments) if segment in ("*", "**")]
    return [_parameter(name, template, index, message, schemas) for name, index in zip(names, wildcards, strict=True)]


def _parameter(name: str, template: Template, index: int, message: DescMessage, schemas: Schemas) -> Schema:
    variable = next((found for found in template.variables if _covers(found, index, len(template.segments))), None)
    parameter: Schema = {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    if variable is not None:
        _bind(parameter, variable, template, message, schemas)
    if template.segments[index] == "**":
        parameter["schema"] = {"type": "string"}
        many = "The rest of the path: any number of segments. Slashes are part of it; a client must not escape them."
        parameter["description"] = "\n\n".join(filter(None, [parameter.get("description"), many]))
        parameter["x-multi-segment"] = True
    return parameter


def _bind(parameter: Schema, variable: Variable, template: Template, message: DescMessage, schemas: Schemas) -> None:
    """Say which field the wildcard is, or is a part of."""
    bound = field_at(message, variable.path)
    schema = schemas.of_field(bound)
    if description := schema.pop("description", ""):
        parameter["description"] = description
    if not variable.multi:
        parameter["schema"] = {"minLength": 1, **schema} if schema.get("type") == "string" else schema
        return
    whole = "/".join(template.segments[variable.start : variable.end])
    part = f"A part of `{'.'.join(variable.path)}`, which is `{whole}`."
    parameter["description"] = "\n\n".join(filter(None, [part, description]))


def field_at(message: DescMessage, path: Sequence[str]) -> DescField:
    """The field at the end of a path whose every step is known to be there."""
    inside: Any = message
    for name in path:
        found = by_name(inside)[name]
        inside = kind_of(found)
    return found


def _covers(variable: Variable, index: int, length: int) -> bool:
    return variable.start <= index < (length if variable.end is None else variable.end)


def _names(template: Template) -> Iterator[str]:
    """A name for each wildcard: its variable's, numbered if that has several; without one, its place."""
    for index, segment in enumerate(template.segments):
        if segment not in ("*", "**"):
            continue
        variable = next((found for found in template.variables if _covers(found, index, len(template.segments))), None)
        if variable is None:
            yield f"segment{index + 1}"
            continue
        name = ".".join(_camel(part) for part in variable.path)
        inside = template.segments[variable.start : variable.end]
        wildcards = [place for place, text in enumerate(inside, variable.start) if text in ("*", "**")]
        yield name if len(wildcards) == 1 else f"{name}{wildcards.index(index) + 1}"


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def _joined(template: Template, names: Sequence[str]) -> str:
    left = iter(names)
    parts = ["{" + next(left) + "}" if segment in ("*", "**") else segment for segment in template.segments]
    return "/" + "/".join(parts) + (f":{template.verb}" if template.verb else "")
