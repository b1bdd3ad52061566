"""What the computations share: kinds of facts, groups of them, and how figures are divided."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import floor
from typing import Any, TypeAlias

from chatmesh.events.v1 import events_pb2 as pb

from tests.analytics_svc.agreement.asked import Asked
from tests.analytics_svc.agreement.year import Fact

Row: TypeAlias = dict[str, Any]
Facts: TypeAlias = Sequence[Fact]

ANSWERS = (pb.CompletionSucceeded, pb.CompletionFailed, pb.CompletionCancelled)
CHANGES = (pb.SubscriptionCreated, pb.SubscriptionChanged, pb.SubscriptionCancelled)


def of(facts: Iterable[Fact], *kinds: type) -> list[Fact]:
    return [fact for fact in facts if isinstance(fact.message, kinds)]


def ratio(part: float | Fraction, whole: float | Fraction) -> float | None:
    return round(float(part / whole), 4) if whole else None


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def by_bucket(asked: Asked, facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    buckets: dict[str, list[Fact]] = {label: [] for label in asked.labels}
    for fact in facts:
        buckets[asked.label(fact.time)].append(fact)
    return buckets


def people(facts: Iterable[Any]) -> set[str]:
    return {fact.message.user_id for fact in facts}


def ranked(counts: Mapping[Any, int]) -> list[tuple[Any, int]]:
    """The most first, equals by their names."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def grouped(facts: Iterable[Any], *names: str) -> dict[tuple[str, ...], list[Any]]:
    groups: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for fact in facts:
        groups[tuple(getattr(fact.message, name) for name in names)].append(fact.message)
    return groups


def of_currency(fact: Fact, asked: Asked) -> bool:
    return bool(getattr(fact.message, "currency", "").lower() == asked.currency)
