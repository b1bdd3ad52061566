"""Facts as the other services publish them, made short."""

from datetime import UTC, datetime, timedelta

from chatmesh.events.v1 import events_pb2 as pb
from google.protobuf.message import Message

from svckit import events
from svckit.events import Event
from svckit.ids import new_id


def at(text: str) -> datetime:
    """An instant, UTC unless the text says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def fact(message: Message, time: datetime | str, *, id: str | None = None) -> Event:
    moment = at(time) if isinstance(time, str) else time
    return events.event(message, source="tests", about=getattr(message, "user_id", ""), time=moment, id=id)


def registered(time: datetime | str, user: str = "") -> Event:
    return fact(pb.UserRegistered(user_id=user or new_id()), time)


def verified(time: datetime | str) -> Event:
    return fact(pb.UserVerified(user_id=new_id()), time)


def deleted(time: datetime | str) -> Event:
    return fact(pb.UserDeleted(user_id=new_id()), time)


def conversation(time: datetime | str, user: str = "ada", plan: str = "free") -> Event:
    return fact(pb.ConversationCreated(user_id=user, conversation_id=new_id(), plan=plan), time)


def message(time: datetime | str, user: str = "ada", plan: str = "free", provider: str = "local") -> Event:
    sent = pb.MessageSent(user_id=user, conversation_id="c", message_id=new_id(), plan=plan, provider=provider)
    return fact(sent, time)


def answer(
    time: datetime | str, user: str = "ada", *, provider: str = "local", plan: str = "free", cost_micros: int = 0
) -> Event:
    usage = pb.Usage(tokens_in=10, tokens_out=5, cost_micros=cost_micros)
    succeeded = pb.CompletionSucceeded(
        user_id=user, generation_id=new_id(), plan=plan, provider=provider, model="m", usage=usage, latency_ms=900
    )
    return fact(succeeded, time)


def failure(time: datetime | str, user: str = "ada", plan: str = "free") -> Event:
    failed = pb.CompletionFailed(user_id=user, plan=plan, provider="local", model="m", error_code="rate_limited")
    return fact(failed, time)


def mrr_change(time: datetime | str, user: str, before: int, after: int, currency: str = "USD") -> Event:
    changed = pb.SubscriptionChanged(
        user_id=user,
        subscription_id=f"sub-{user}",
        plan_before="free",
        plan_after="pro",
        status=pb.SUBSCRIPTION_STATUS_ACTIVE,
        currency=currency,
        mrr_before_minor=before,
        mrr_after_minor=after,
    )
    return fact(changed, time)


def payment(time: datetime | str, amount: int, currency: str = "USD") -> Event:
    paid = pb.PaymentSucceeded(user_id="ada", payment_id=new_id(), plan="pro", currency=currency, amount_minor=amount)
    return fact(paid, time)


def quarter_hours(start: datetime, count: int) -> list[datetime]:
    return [start + timedelta(minutes=15) * number for number in range(count)]
