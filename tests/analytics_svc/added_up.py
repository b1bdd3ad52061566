"""What happened, added up twice: by the views, and in plain Python over the same events."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeAlias

from chatmesh.events.v1 import events_pb2 as pb

from analytics_svc.clickhouse import ClickHouse
from svckit.events import Event, unpack

Figures: TypeAlias = dict[tuple[object, ...], Any]

_ANSWERS = (pb.CompletionSucceeded, pb.CompletionFailed, pb.CompletionCancelled)
_PAYMENTS = (pb.PaymentSucceeded, pb.PaymentFailed, pb.PaymentRefunded)

# A name, and a query whose last column is the figure and whose others say of what.
_VIEWS = {
    "raw": "SELECT type, uniqExact(event_id) FROM events GROUP BY type",
    "users": "SELECT type, sum(n) FROM users_15m GROUP BY type",
    "active": "SELECT toString(toDate(b)) AS day, uniqMerge(users) FROM active_15m GROUP BY day",
    "messages": "SELECT plan, sum(messages) FROM chat_15m GROUP BY plan HAVING sum(messages) > 0",
    "conversations": "SELECT plan, sum(conversations) FROM chat_15m GROUP BY plan HAVING sum(conversations) > 0",
    "answers": "SELECT provider, type, error_code, sum(n) FROM model_15m GROUP BY provider, type, error_code",
    "tokens": "SELECT provider, sum(tokens_in + tokens_out) FROM model_15m GROUP BY provider",
    "cost": "SELECT plan, sum(cost_micros) FROM chat_15m GROUP BY plan HAVING sum(cost_micros) > 0",
    "revenue": "SELECT currency, type, sum(amount_minor) FROM revenue_15m GROUP BY currency, type",
    "usage": "SELECT user_id, sum(messages) FROM user_usage_15m GROUP BY user_id HAVING sum(messages) > 0",
    "lifecycle": "SELECT user_id, toUnixTimestamp64Milli(min(first_message)) AS first FROM user_lifecycle"
    " GROUP BY user_id HAVING first < toUnixTimestamp64Milli(toDateTime64('2200-01-01 00:00:00', 3, 'UTC'))",
    "conversation": "SELECT conversation_id, sum(messages) FROM conversations GROUP BY conversation_id"
    " HAVING sum(messages) > 0",
    "subscription": "SELECT subscription_id, argMaxMerge(plan), 1 FROM subscription_state GROUP BY subscription_id",
    "mrr": "SELECT user_id, argMax(mrr_after_minor, (ts, seq)) FROM mrr_changes FINAL GROUP BY user_id",
}


async def by_views(clickhouse: ClickHouse) -> Figures:
    """The figures as the views have them."""
    return {
        (name, *(str(part) for part in key)): int(str(figure))
        for name, query in _VIEWS.items()
        for *key, figure in await clickhouse.query(query)
    }


def in_python(happened: Iterable[Event]) -> Figures:
    """The figures of these events, each counted once however often it is among them."""
    once = {event.id: event for event in happened}
    figures: Counter[tuple[object, ...]] = Counter()
    for event in once.values():
        type_ = event.subject.removeprefix("ev.")
        figures["raw", type_] += 1
        _add(figures, type_, unpack(event))
    return dict(figures) | _people(once.values()) | _subscribers(once.values())


def _add(figures: Counter[tuple[object, ...]], type_: str, fact: Any) -> None:
    if type_.startswith("auth.user.") and type_ != "auth.user.signed_in":
        figures["users", type_] += 1
    elif isinstance(fact, pb.MessageSent):
        figures["messages", fact.plan] += 1
        figures["usage", fact.user_id] += 1
        figures["conversation", fact.conversation_id] += 1
    elif isinstance(fact, pb.ConversationCreated):
        figures["conversations", fact.plan] += 1
    elif isinstance(fact, _ANSWERS):
        figures["answers", fact.provider, type_, getattr(fact, "error_code", "")] += 1
        figures["tokens", fact.provider] += fact.usage.tokens_in + fact.usage.tokens_out
        if fact.usage.cost_micros:
            figures["cost", fact.plan] += fact.usage.cost_micros
    elif isinstance(fact, _PAYMENTS):
        figures["revenue", fact.currency.lower(), type_] += fact.amount_minor


def _people(happened: Iterable[Event]) -> Figures:
    """Who was active on which day, and when each person was for the first time."""
    days: dict[str, set[str]] = {}
    first: dict[str, datetime] = {}
    for event in happened:
        if event.subject == "ev.chat.message.sent":
            days.setdefault(event.time.date().isoformat(), set()).add(event.about)
            first[event.about] = min(event.time, first.get(event.about, event.time))
    figures: Figures = {("active", day): len(people) for day, people in days.items()}
    figures |= {("lifecycle", user): round(moment.timestamp() * 1000) for user, moment in first.items()}
    return figures


def _subscribers(happened: Iterable[Event]) -> Figures:
    changes = [event for event in happened if event.subject == "ev.billing.subscription.changed"]
    last: dict[str, Any] = {event.about: unpack(event) for event in sorted(changes, key=lambda event: event.time)}
    return {("mrr", user): change.mrr_after_minor for user, change in last.items()} | {
        ("subscription", change.subscription_id, change.plan_after): 1 for change in last.values()
    }
