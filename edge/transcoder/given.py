"""What a request has set so far: a singular field may be given once, and of a oneof one member."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from protobuf import DescField, DescMessage

from edge.transcoder.fields import is_singular, kind_of
from edge.transcoder.wire import TextError


class Place(NamedTuple):
    """A field of the request: the names that lead to it, and the oneofs on the way, each with where it stands."""

    path: tuple[str, ...]
    repeated: bool
    oneofs: tuple[tuple[tuple[str, ...], str], ...]


def place_of(chain: Sequence[DescField]) -> Place:
    """The place of the field at the end of the chain."""
    path = tuple(field.name for field in chain)
    return Place(
        path=path,
        repeated=not is_singular(chain[-1]),
        oneofs=tuple(
            (path[:depth], oneof.name)
            for depth, field in enumerate(chain)
            if (oneof := getattr(field.value, "oneof", None)) is not None
        ),
    )


def place_at(message: DescMessage, path: Sequence[str]) -> Place:
    """The place of a field that is there."""
    chain: list[DescField] = []
    inside: object = message
    for name in path:
        assert isinstance(inside, DescMessage)
        chain.append(next(field for field in inside.fields if field.name == name))
        inside = kind_of(chain[-1])
    return place_of(chain)


class Given:
    """What has been set."""

    def __init__(self, members: Iterable[Place] = ()) -> None:
        """`members` is what others set, and may set again: only the oneofs that it chooses a member of count."""
        self._paths: set[tuple[str, ...]] = set()
        self._members: dict[tuple[tuple[str, ...], str], tuple[str, ...]] = {}
        for place in members:
            self._choose(place)

    def add(self, place: Place) -> None:
        """Raise TextError for a second value of a singular field, or for a second member of a oneof."""
        if not place.repeated:
            if place.path in self._paths:
                raise TextError("must be given once")
            self._paths.add(place.path)
        self._choose(place)

    def _choose(self, place: Place) -> None:
        for oneof in place.oneofs:
            member = place.path[: len(oneof[0]) + 1]
            if self._members.setdefault(oneof, member) != member:
                raise TextError(f"only one field of {oneof[1]} can be given")
