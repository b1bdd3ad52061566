"""The query parameters of a route: every field that can be given as text and that nothing else binds."""

from collections.abc import Collection, Iterator

from protobuf import DescEnum, DescField, DescMessage

from edge.transcoder.fields import is_singular, kind_of
from edge.transcoder.openapi.constraints import Schema
from edge.transcoder.openapi.schemas import Schemas
from edge.transcoder.wire import encoder

_DEEPEST = 3  # names in one documented parameter; the transcoder takes more


def query_parameters(
    message: DescMessage, *, elsewhere: Collection[tuple[str, ...]], schemas: Schemas
) -> Iterator[Schema]:
    """A parameter for each leaf. `elsewhere` are the paths of fields that the path or the body binds."""
    yield from _inside(message, (), frozenset(elsewhere), schemas)


def _inside(
    message: DescMessage, chain: tuple[DescField, ...], elsewhere: Collection[tuple[str, ...]], schemas: Schemas
) -> Iterator[Schema]:
    for field in message.fields:
        longer = (*chain, field)
        if tuple(step.name for step in longer) in elsewhere or _is_ruled_out(longer, elsewhere):
            continue
        kind = kind_of(field)
        if _is_text(longer):
            yield _parameter(longer, schemas)
        elif isinstance(kind, DescMessage) and _goes_on(field, chain):
            yield from _inside(kind, longer, elsewhere, schemas)


def _is_ruled_out(chain: tuple[DescField, ...], elsewhere: Collection[tuple[str, ...]]) -> bool:
    """Whether something else binds another member of the field's oneof."""
    oneof = getattr(chain[-1].value, "oneof", None)
    if oneof is None:
        return False
    above = tuple(field.name for field in chain[:-1])
    others = [(*above, member.name) for member in oneof.fields if member.name != chain[-1].name]
    return any(path[: len(chain)] in others for path in elsewhere)


def _is_text(chain: tuple[DescField, ...]) -> bool:
    kind = kind_of(chain[-1])
    if isinstance(kind, DescEnum) and kind.type_name == "google.protobuf.NullValue":
        return False  # it has one value, and that says nothing
    try:
        encoder(chain)
    except ValueError:
        return False
    return True


def _goes_on(field: DescField, chain: tuple[DescField, ...]) -> bool:
    """Whether the fields of the field's message are parameters of their own, once for a type that holds itself."""
    kind = kind_of(field)
    if not isinstance(kind, DescMessage) or not is_singular(field) or len(chain) + 1 >= _DEEPEST:
        return False
    above = {step.parent.type_name for step in (*chain, field)}
    return kind.type_name not in above and not kind.type_name.startswith(("google.protobuf.", "google.api."))


def _parameter(chain: tuple[DescField, ...], schemas: Schemas) -> Schema:
    schema = schemas.of_field(chain[-1])
    parameter: Schema = {"name": ".".join(field.json_name for field in chain), "in": "query"}
    if description := schema.pop("description", ""):
        parameter["description"] = description
    if schema.pop("deprecated", False):
        parameter["deprecated"] = True
    if all(schemas.is_required(field) for field in chain):
        parameter["required"] = True
    if isinstance(schema.get("type"), list):  # null cannot be said in a query
        kinds = [kind for kind in schema["type"] if kind != "null"]
        schema["type"] = kinds if len(kinds) > 1 else kinds[0]
    return {**parameter, "schema": schema}
