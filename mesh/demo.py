"""A year or less of a small chat product, made up: who signs up, what people ask, what they pay, who leaves.

The same seed and end make the same events, with the same ids. It is believable, not true: rates are round numbers.
"""

import math
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from chatmesh.events.v1 import events_pb2 as pb
from google.protobuf.message import Message

from svckit import events
from svckit.events import Event

YEAR = 365

# Model, provider, millionths of a dollar a thousand tokens, milliseconds a token, and its share at the start and end.
_MODELS = (
    ("gpt-4.1-mini", "openai", 900, 9, 0.55, 0.35),
    ("claude-sonnet-4-5", "anthropic", 7500, 12, 0.15, 0.35),
    ("gemini-2.5-flash", "google", 1200, 7, 0.10, 0.20),
    ("smollm2-135m", "local", 0, 30, 0.20, 0.10),
)
_ERRORS = ("rate_limited", "upstream_unavailable", "stream_truncated", "upstream_timeout")
# A month's price in cents. A fifth of the customers pays in euros.
_PRICES = {"pro": 2000, "team": 5000}
# Weekends are quiet; people write by day, somewhere between Lisbon and Los Angeles.
_WEEKDAYS = (1.0, 1.05, 1.05, 1.0, 0.85, 0.45, 0.4)
_HOURS = (3, 2, 2, 1, 1, 1, 2, 4, 8, 11, 12, 11, 10, 11, 12, 13, 13, 12, 11, 10, 9, 8, 6, 4)


@dataclass(slots=True)
class _Person:
    id: str
    since: int
    keenness: float
    plan: str = "free"
    currency: str = "USD"
    subscription: str = ""
    paid_on: int = 0
    conversations: list[str] = field(default_factory=list)

    @property
    def mrr(self) -> int:
        return _PRICES.get(self.plan, 0)


class Story:
    """So many days up to `end`, from the first customer on; another `seed` makes another story."""

    def __init__(self, *, end: datetime, days: int = YEAR, seed: int = 1) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - makes up a story, not a secret
        self._start = end - timedelta(days=days)
        self._length = days
        self._people: list[_Person] = []
        self._day = 0

    def days(self) -> Iterator[tuple[datetime, list[Event]]]:
        """Each day with its events, in the order of time."""
        for number in range(self._length):
            self._day = number
            day = self._start + timedelta(days=number)
            happened = [*self._signups(), *self._changes(), *self._chats(_WEEKDAYS[day.weekday()])]
            yield day, sorted(happened, key=lambda event: event.time)

    def _signups(self) -> Iterator[Event]:
        expected = 0.8 + 3.2 * self._day / self._length
        for _ in range(self._about(expected)):
            person = _Person(self._id(), since=self._day, keenness=self._chance.betavariate(1.2, 4))
            person.currency = "EUR" if self._chance.random() < 0.2 else "USD"
            self._people.append(person)
            at = self._moment()
            yield self._fact(pb.UserRegistered(user_id=person.id), person, at)
            if self._chance.random() < 0.82:
                yield self._fact(pb.UserVerified(user_id=person.id), person, at + timedelta(minutes=4))

    def _changes(self) -> Iterator[Event]:
        """What becomes of subscriptions and accounts."""
        for person in self._known():
            if person.subscription:
                yield from self._customer(person)
            elif self._chance.random() < 0.0022 * (1 + 3 * person.keenness):
                yield from self._subscribe(person)
            elif self._chance.random() < 0.0004:
                self._people.remove(person)
                yield self._fact(pb.UserDeleted(user_id=person.id), person, self._moment())

    def _known(self) -> list[_Person]:
        """Who signed up on a day before: nobody does anything sooner than that."""
        return [person for person in self._people if person.since < self._day]

    def _subscribe(self, person: _Person) -> Iterator[Event]:
        person.plan = "team" if self._chance.random() < 0.2 else "pro"
        person.subscription = self._id()
        person.paid_on = self._day
        at = self._moment()
        created = pb.SubscriptionCreated(
            plan=person.plan,
            interval=pb.BILLING_INTERVAL_MONTH,
            status=pb.SUBSCRIPTION_STATUS_ACTIVE,
            mrr_after_minor=person.mrr,
            **self._of(person),
        )
        yield self._fact(created, person, at)
        yield self._fact(self._paid(person), person, at + timedelta(seconds=2))

    def _customer(self, person: _Person) -> Iterator[Event]:
        luck = self._chance.random()
        if luck < 0.0015:
            yield from self._cancel(person)
        elif luck < 0.0022 and person.plan == "pro":
            yield self._change(person, "team")
        elif luck < 0.0026 and person.plan == "team":
            yield self._change(person, "pro")
        elif (self._day - person.paid_on) % 30 == 0 and self._day > person.paid_on:
            yield from self._renew(person)

    def _renew(self, person: _Person) -> Iterator[Event]:
        at = self._moment()
        if self._chance.random() < 0.05:
            failed = pb.PaymentFailed(
                payment_id=self._id(),
                plan=person.plan,
                amount_minor=person.mrr,
                error_code="insufficient_funds",
                **self._of(person),
            )
            yield self._fact(failed, person, at - timedelta(hours=1))
        paid = self._paid(person)
        yield self._fact(paid, person, at)
        if self._chance.random() < 0.015:
            refunded = pb.PaymentRefunded(
                refund_id=self._id(),
                payment_id=paid.payment_id,
                plan=person.plan,
                amount_minor=paid.amount_minor,
                tax_minor=paid.tax_minor,
                **self._of(person),
            )
            yield self._fact(refunded, person, at + timedelta(hours=9))

    def _paid(self, person: _Person) -> pb.PaymentSucceeded:
        tax = round(person.mrr * 0.21) if person.currency == "EUR" else 0
        return pb.PaymentSucceeded(
            payment_id=self._id(),
            plan=person.plan,
            amount_minor=person.mrr + tax,
            tax_minor=tax,
            **self._of(person),
        )

    def _change(self, person: _Person, plan: str) -> Event:
        before, mrr = person.plan, person.mrr
        person.plan = plan
        changed = pb.SubscriptionChanged(
            plan_before=before,
            plan_after=plan,
            interval=pb.BILLING_INTERVAL_MONTH,
            status_before=pb.SUBSCRIPTION_STATUS_ACTIVE,
            status=pb.SUBSCRIPTION_STATUS_ACTIVE,
            mrr_before_minor=mrr,
            mrr_after_minor=person.mrr,
            **self._of(person),
        )
        return self._fact(changed, person, self._moment())

    def _cancel(self, person: _Person) -> Iterator[Event]:
        cancelled = pb.SubscriptionCancelled(
            plan=person.plan,
            status=pb.SUBSCRIPTION_STATUS_CANCELED,
            mrr_before_minor=person.mrr,
            reason=pb.CANCELLATION_REASON_REQUESTED,
            **self._of(person),
        )
        yield self._fact(cancelled, person, self._moment())
        person.plan, person.subscription = "free", ""

    def _chats(self, weekday: float) -> Iterator[Event]:
        for person in self._known():
            eager = person.keenness * (0.55 if person.subscription else 0.25) * weekday
            if self._chance.random() < eager:
                yield from self._conversation(person)

    def _conversation(self, person: _Person) -> Iterator[Event]:
        at = self._moment()
        if not person.conversations or self._chance.random() < 0.6:
            person.conversations.append(self._id())
            created = pb.ConversationCreated(
                user_id=person.id, conversation_id=person.conversations[-1], plan=person.plan
            )
            yield self._fact(created, person, at)
        for _ in range(1 + self._about(0.9)):
            at += timedelta(seconds=self._chance.uniform(20, 400))
            yield from self._exchange(person, person.conversations[-1], at)

    def _exchange(self, person: _Person, conversation: str, at: datetime) -> Iterator[Event]:
        """A message and what became of its answer."""
        passed = self._day / self._length
        weights = [first + (last - first) * passed for *_, first, last in _MODELS]
        [(model, provider, price, pace, *_)] = self._chance.choices(_MODELS, weights)
        common = {"user_id": person.id, "conversation_id": conversation, "plan": person.plan}
        asked: dict[str, Any] = {**common, "provider": provider, "model": model}
        yield self._fact(pb.MessageSent(message_id=self._id(), **asked), person, at)
        tokens_in, tokens_out = (int(self._chance.lognormvariate(mean, 0.8)) + 1 for mean in (6.2, 5.3))
        ttft = int(self._chance.lognormvariate(5.9, 0.4))
        took = ttft + tokens_out * pace
        answered = {**asked, "message_id": self._id(), "generation_id": self._id(), "latency_ms": took}
        luck = self._chance.random()
        if luck < 0.02:
            failed = pb.CompletionFailed(error_code=self._chance.choice(_ERRORS), **answered)
            yield self._fact(failed, person, at + timedelta(milliseconds=took))
            return
        cost = math.ceil((tokens_in + 3 * tokens_out) * price / 1000)
        usage = pb.Usage(tokens_in=tokens_in, tokens_out=tokens_out, cost_micros=cost, price_version="demo")
        kind = pb.CompletionCancelled if luck < 0.03 else pb.CompletionSucceeded
        yield self._fact(kind(usage=usage, ttft_ms=ttft, **answered), person, at + timedelta(milliseconds=took))

    def _of(self, person: _Person) -> dict[str, Any]:
        return {"user_id": person.id, "subscription_id": person.subscription, "currency": person.currency}

    def _about(self, expected: float) -> int:
        """A whole number that is this on average."""
        return (
            int(expected) + (self._chance.random() < expected % 1)
            if self._chance.random() < 0.7
            else round(self._chance.expovariate(1 / expected))
        )

    def _moment(self) -> datetime:
        [hour] = self._chance.choices(range(24), _HOURS)
        return self._start + timedelta(days=self._day, hours=hour, seconds=self._chance.uniform(0, 3600))

    def _id(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def _fact(self, message: Message, person: _Person, time: datetime) -> Event:
        return events.event(message, source="demo", about=person.id, time=time, id=self._id())
