"""A year of a small mesh, made up: the facts in the order of time, and the events in the order in which they come."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chatmesh.events.v1 import events_pb2 as pb
from google.protobuf.message import Message

from svckit.events import Event
from tests.analytics_svc import facts

START = datetime(2024, 3, 1, tzinfo=UTC)
LENGTH = timedelta(days=365)

_PEOPLE = 120
_HISTORIES = 24  # of subscriptions alone, in a currency each
_MODELS = {"openai": ["gpt-large", "gpt-small"], "anthropic": ["claude"], "local": ["smollm2-135m"]}
_PRICES = {"free": 0, "pro": 2000, "team": 5000}
_CURRENCIES = ["USD", "USD", "EUR", "JPY"]
_ERRORS = ["rate_limited", "stream_truncated", "provider_timeout"]
_ACTIVE, _TRIAL, _PAST_DUE = (
    pb.SUBSCRIPTION_STATUS_ACTIVE,
    pb.SUBSCRIPTION_STATUS_TRIALING,
    pb.SUBSCRIPTION_STATUS_PAST_DUE,
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened; `message` is a payload of events.proto."""

    time: datetime
    message: Message


def facts_of_the_year() -> list[Fact]:
    """The same in every process, in the order of time."""
    chance = random.Random(20240301)
    happened = [fact for number in range(_PEOPLE) for fact in _life(f"person-{number}", chance)]
    for number in range(_HISTORIES):
        for customer in range(chance.randint(1, 4)):
            happened += _subscriptions(f"customer-{number}-{customer}", currency_of(number), START, chance)
    return sorted((_to_the_millisecond(fact) for fact in happened), key=lambda fact: fact.time)


def currency_of(history: int) -> str:
    """A currency that nobody else pays in."""
    return f"Q{chr(ord('A') + history // 26)}{chr(ord('A') + history % 26)}"


HISTORY_CURRENCIES = [currency_of(number).lower() for number in range(_HISTORIES)]


def events_as_they_come() -> list[Event]:
    """Some late, some twice."""
    chance = random.Random(1)
    arrivals: list[tuple[datetime, int, Event]] = []
    for number, fact in enumerate(facts_of_the_year()):
        event = facts.fact(fact.message, fact.time, id=f"event-{number}")
        for _ in range(1 + (chance.random() < 0.04)):
            late = timedelta(days=chance.expovariate(0.1)) if chance.random() < 0.1 else timedelta(0)
            arrivals.append((fact.time + late, len(arrivals), event))
    return [event for _, _, event in sorted(arrivals)]


def first_half() -> list[Event]:
    events = events_as_they_come()
    return events[: len(events) // 2]


def second_half() -> list[Event]:
    events = events_as_they_come()
    return events[len(events) // 2 :]


def _life(user: str, chance: random.Random) -> Iterator[Fact]:
    """One person, from signing up on."""
    came = _moment(START, LENGTH * 0.9, chance)
    yield Fact(came, pb.UserRegistered(user_id=user))
    if chance.random() < 0.8:
        yield Fact(_moment(came, timedelta(days=3), chance), pb.UserVerified(user_id=user))
    plans = list(_subscriptions(user, chance.choice(_CURRENCIES), came, chance)) if chance.random() < 0.5 else []
    yield from plans
    yield from _payments(plans, chance)
    for number in range(int(chance.expovariate(0.15))):
        began = _moment(came, timedelta(days=chance.choice([3, 30, 365])), chance)
        yield from _conversation(user, f"{user}-conversation-{number}", began, plans, chance)
    if chance.random() < 0.1:
        yield Fact(_moment(came, timedelta(days=200), chance), pb.UserDeleted(user_id=user))


def _subscriptions(user: str, currency: str, since: datetime, chance: random.Random) -> Iterator[Fact]:
    """A few subscriptions, one after the other, with pauses between them; also changes that change nothing."""
    time, number = since, 0
    plan, paid = "free", 0
    for _ in range(chance.randint(1, 9)):
        time += timedelta(days=chance.expovariate(1 / 40), milliseconds=1)
        before = paid
        id_ = f"sub-{user}-{number}"
        if plan == "free":
            plan = chance.choice(["pro", "team"])
            status = chance.choice([_ACTIVE, _ACTIVE, _TRIAL])
            paid = _PRICES[plan] if status == _ACTIVE else 0
            yield Fact(
                time,
                pb.SubscriptionCreated(
                    user_id=user,
                    subscription_id=id_,
                    plan=plan,
                    status=status,
                    currency=currency,
                    mrr_before_minor=before,
                    mrr_after_minor=paid,
                ),
            )
        elif chance.random() < 0.35:
            yield Fact(
                time,
                pb.SubscriptionCancelled(
                    user_id=user,
                    subscription_id=id_,
                    plan=plan,
                    status=pb.SUBSCRIPTION_STATUS_CANCELED,
                    currency=currency,
                    mrr_before_minor=before,
                ),
            )
            plan, paid, number = "free", 0, number + 1
        else:
            old, plan = plan, chance.choice(["pro", "team"])
            paid = chance.choice([_PRICES[plan], _PRICES[plan] * 10 // 12])
            yield Fact(
                time,
                pb.SubscriptionChanged(
                    user_id=user,
                    subscription_id=id_,
                    plan_before=old,
                    plan_after=plan,
                    status=chance.choice([_ACTIVE, _PAST_DUE]),
                    currency=currency,
                    mrr_before_minor=before,
                    mrr_after_minor=paid,
                ),
            )


def _payments(plans: list[Fact], chance: random.Random) -> Iterator[Fact]:
    """A payment with tax for each change, some refused, some given back in part or whole."""
    for number, change in enumerate(plans):
        user, currency = change.message.user_id, change.message.currency  # type: ignore[attr-defined]
        plan = chance.choice([_plan_after(change.message), _plan_after(change.message), ""])
        amount = chance.randint(100, 9000)
        common = {"user_id": user, "payment_id": f"{user}-{number}", "plan": plan, "currency": currency}
        time = _moment(change.time, timedelta(hours=1), chance)
        if chance.random() < 0.15:
            yield Fact(time, pb.PaymentFailed(**common, amount_minor=amount, tax_minor=amount // 6))
            continue
        yield Fact(time, pb.PaymentSucceeded(**common, amount_minor=amount, tax_minor=amount // 6))
        if chance.random() < 0.3:
            back = chance.choice([amount, amount // 2])
            later = _moment(time, timedelta(days=60), chance)
            yield Fact(later, pb.PaymentRefunded(**common, amount_minor=back, tax_minor=back // 6))


def _conversation(user: str, id: str, began: datetime, plans: list[Fact], chance: random.Random) -> Iterator[Fact]:
    time = began
    common = {"user_id": user, "conversation_id": id}
    yield Fact(time, pb.ConversationCreated(**common, plan=_plan_at(time, plans)))
    for _ in range(chance.randint(0, 7)):
        time += timedelta(seconds=chance.choice([20, 300, 90_000]) * chance.random(), milliseconds=1)
        plan = _plan_at(time, plans)
        yield Fact(time, pb.MessageSent(**common, plan=plan))
        provider = chance.choice(list(_MODELS))
        latency = chance.randint(100, 20_000)
        yield Fact(
            time + timedelta(milliseconds=latency),
            _answer(chance, latency, **common, plan=plan, provider=provider, model=chance.choice(_MODELS[provider])),
        )


def _answer(chance: random.Random, latency: int, **common: str) -> Message:
    tokens_in, tokens_out = chance.randint(1, 4000), chance.randint(1, 900)
    usage = pb.Usage(tokens_in=tokens_in, tokens_out=tokens_out, cost_micros=tokens_in * 2 + tokens_out * 8)
    ttft = chance.choice([None, latency // 3, latency // 5])
    kind = chance.random()
    if kind < 0.85:
        return pb.CompletionSucceeded(**common, usage=usage, latency_ms=latency, ttft_ms=ttft or 0)
    if kind < 0.95:
        error = chance.choice(_ERRORS)
        return pb.CompletionFailed(**common, usage=usage, latency_ms=latency, ttft_ms=ttft, error_code=error)
    return pb.CompletionCancelled(**common, usage=usage, latency_ms=latency, ttft_ms=ttft)


def _moment(since: datetime, within: timedelta, chance: random.Random) -> datetime:
    """At random, and often on the edge of a quarter hour, where days and hours of all zones begin."""
    moment = since + within * chance.random()
    if chance.random() < 0.3:
        moment = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0) + timedelta(minutes=15)
        moment -= timedelta(milliseconds=chance.choice([0, 1]))
    return max(moment, since)


def _to_the_millisecond(fact: Fact) -> Fact:
    return Fact(fact.time.replace(microsecond=fact.time.microsecond // 1000 * 1000), fact.message)


def _plan_at(time: datetime, plans: list[Fact]) -> str:
    return next((_plan_after(change.message) for change in reversed(plans) if change.time <= time), "free")


def _plan_after(change: Message) -> str:
    if isinstance(change, pb.SubscriptionCreated):
        return change.plan
    return change.plan_after if isinstance(change, pb.SubscriptionChanged) else "free"
