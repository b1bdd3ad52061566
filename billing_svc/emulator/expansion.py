"""What of an object is shown: ids as whole objects where somebody asks, and some members only then.

https://docs.stripe.com/api/expanding_objects
"""

from collections.abc import Sequence

from billing_svc.emulator.objects import Json, Objects
from billing_svc.emulator.refusals import Refused

_DEEPEST = 4
_ONLY_EXPANDED = {"invoice": {"payments", "confirmation_secret"}}

_Path = Sequence[str]


def paths(asked: Sequence[str]) -> list[_Path]:
    """`data.latest_invoice` as steps."""
    found: list[_Path] = [path.split(".") for path in asked]
    if any(len(path) > _DEEPEST for path in found):
        raise Refused(f"You cannot expand more than {_DEEPEST} levels of a property.", param="expand")
    return found


def shown(objects: Objects, body: Json, wanted: Sequence[_Path] = ()) -> Json:
    """The object, or the list of objects, as the caller gets it."""
    steps = {path[0] for path in wanted}
    hidden = _ONLY_EXPANDED.get(body.get("object", ""), set()) - steps
    seen = {name: value for name, value in body.items() if name not in hidden}
    for step in steps | ({"data"} if body.get("object") == "list" else set()):
        if step in seen:
            rest = [path[1:] for path in wanted if path[0] == step and len(path) > 1]
            seen[step] = _expanded(objects, seen[step], rest)
    return seen


def _expanded(objects: Objects, value: object, rest: Sequence[_Path]) -> object:
    if isinstance(value, list):
        return [_expanded(objects, each, rest) for each in value]
    if isinstance(value, str):
        value = objects.find_any(value) or value
    return shown(objects, value, rest) if isinstance(value, dict) else value
