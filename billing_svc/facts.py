"""What the rest of the mesh is told: a before and an after, as events."""

from dataclasses import dataclass

from chatmesh.events.v1 import events_pb2 as ev
from google.protobuf.message import Message

from billing_svc.models import Entitlement, Invoice, Subscription
from billing_svc.plans import Limits
from billing_svc.store import PENDING
from svckit.timestamps import timestamp

_ENDED = ("canceled", "incomplete_expired")
# Stripe counts a trial as nothing owed; a late payment still is.
_EARNING = ("active", "past_due")
# Stripe's words for why a subscription ended.
_REASONS = {
    "cancellation_requested": ev.CANCELLATION_REASON_REQUESTED,
    "payment_failed": ev.CANCELLATION_REASON_PAYMENT_FAILED,
    "payment_disputed": ev.CANCELLATION_REASON_PAYMENT_DISPUTED,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a subscription others care about, at one moment."""

    plan: str
    interval: str
    status: str
    recurring_minor: int
    cancel_at_period_end: bool

    @classmethod
    def of(cls, row: Subscription) -> "Standing | None":
        """None for one that is still being made."""
        if row.status == PENDING:
            return None
        recurring = row.amount_minor - row.discount_minor
        return cls(row.plan_id, row.interval, row.status, recurring, row.cancel_at_period_end)

    @property
    def mrr_minor(self) -> int:
        """Monthly recurring revenue, after coupons that come back; a twelfth of a year's, rounded half up."""
        if self.status not in _EARNING:
            return 0
        return self.recurring_minor if self.interval == "month" else (self.recurring_minor + 6) // 12


def subscription_fact(row: Subscription, *, before: Standing | None, deleted: bool) -> Message | None:
    """What changed, if anything did. `deleted`: the user's account was."""
    after = Standing.of(row)
    if after is None or after == before:
        return None
    if before is None:
        return _created(row, after)
    if after.status in _ENDED:
        return None if before.status in _ENDED else _cancelled(row, before, after, deleted=deleted)
    return _changed(row, before, after)


def _created(row: Subscription, after: Standing) -> Message:
    return ev.SubscriptionCreated(
        user_id=row.user_id,
        subscription_id=row.id,
        plan=after.plan,
        interval=_interval(after.interval),
        status=_status(after.status),
        currency=row.currency.upper(),
        mrr_before_minor=0,
        mrr_after_minor=after.mrr_minor,
    )


def _changed(row: Subscription, before: Standing, after: Standing) -> Message:
    return ev.SubscriptionChanged(
        user_id=row.user_id,
        subscription_id=row.id,
        plan_before=before.plan,
        plan_after=after.plan,
        interval=_interval(after.interval),
        status_before=_status(before.status),
        status=_status(after.status),
        currency=row.currency.upper(),
        mrr_before_minor=before.mrr_minor,
        mrr_after_minor=after.mrr_minor,
        cancel_at_period_end=after.cancel_at_period_end,
    )


def _cancelled(row: Subscription, before: Standing, after: Standing, *, deleted: bool) -> Message:
    return ev.SubscriptionCancelled(
        user_id=row.user_id,
        subscription_id=row.id,
        plan=before.plan,
        status=_status(after.status),
        currency=row.currency.upper(),
        mrr_before_minor=before.mrr_minor,
        mrr_after_minor=0,
        reason=_reason(row, deleted=deleted),
        feedback=row.cancel_feedback,
    )


def _reason(row: Subscription, *, deleted: bool) -> ev.CancellationReason.ValueType:
    if deleted and row.cancel_reason == "cancellation_requested":
        return ev.CANCELLATION_REASON_USER_DELETED
    # One whose first payment nobody made in time has no word of Stripe's.
    unsaid = "payment_failed" if row.status == "incomplete_expired" else ""
    return _REASONS.get(row.cancel_reason or unsaid, ev.CANCELLATION_REASON_UNSPECIFIED)


def invoice_finalized(row: Invoice, *, plan: str) -> Message:
    return ev.InvoiceFinalized(
        user_id=row.user_id,
        invoice_id=row.id,
        number=row.number,
        subscription_id=row.subscription_id or "",
        plan=plan,
        currency=row.currency.upper(),
        amount_minor=row.total_minor,
        tax_minor=row.tax_minor,
        period_start=timestamp(row.period_start),
        period_end=timestamp(row.period_end),
    )


def entitlements_changed(row: Entitlement) -> Message:
    limits = Limits.model_validate(row.limits)
    return ev.EntitlementsChanged(
        user_id=row.user_id,
        version=row.version,
        plan=row.plan_id,
        status=_status(row.status) if row.status else ev.SUBSCRIPTION_STATUS_UNSPECIFIED,
        limits=ev.Limits(
            tokens_per_period=row.tokens_per_period,
            overage=bool(limits.overage_per_1000_tokens),
            concurrent_generations=limits.concurrent_generations,
            models=limits.models,
        ),
        period_start=timestamp(row.period_start),
        period_end=timestamp(row.period_end),
        valid_until=timestamp(row.period_end),
    )


def _interval(word: str) -> ev.BillingInterval.ValueType:
    return ev.BillingInterval.Value(f"BILLING_INTERVAL_{word.upper()}")


def _status(word: str) -> ev.SubscriptionStatus.ValueType:
    return ev.SubscriptionStatus.Value(f"SUBSCRIPTION_STATUS_{word.upper()}")
