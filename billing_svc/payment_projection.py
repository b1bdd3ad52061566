"""Our payments and refunds follow Stripe's: the part of `projection` that is about money which moved."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import stripe
import structlog
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import payment_facts, payment_store
from billing_svc.driver.payments import Payments
from billing_svc.models import Payment, Refund
from billing_svc.payment_facts import Billed
from billing_svc.payment_store import FAILED
from svckit.ids import new_id

log = structlog.get_logger(__name__)

# A fact, and when it became true: with money, the day that Stripe booked it.
Dated: TypeAlias = tuple[Message, datetime]

_STATUSES = {"succeeded": "succeeded", "requires_action": "requires_action", "processing": "processing"}
_REFUND_STATUSES = {"succeeded": "succeeded", "failed": FAILED, "canceled": FAILED}
_UNTRIED = ("requires_payment_method", "requires_confirmation")


async def follow(
    session: AsyncSession, payments: Payments, *, user_id: str, customer: str, billed: Mapping[str, Billed]
) -> list[Dated]:
    """Copy what Stripe has of the customer, and answer what to tell. `billed`: by Stripe's ids of payments."""
    known = await payment_store.payments_of(session, user_id)
    by_id, by_stripe_id = {row.id: row for row in known}, {row.stripe_id: row for row in known}
    told: list[Dated] = []
    followed: list[tuple[Payment, stripe.PaymentIntent]] = []
    for theirs in await payments.of_customer(customer):
        row = by_stripe_id.get(theirs.id) or by_id.get(theirs.metadata.to_dict().get("payment_id", ""))
        if row is None:
            if theirs.status in _UNTRIED and not theirs.last_payment_error:
                continue  # somebody thinks about paying
            row = Payment(id=new_id(), user_id=user_id, status="", created_at=_moment(theirs.created))
            session.add(row)
        told += _follow_payment(row, theirs, billed.get(theirs.id, Billed()))
        followed.append((row, theirs))
    await session.flush()
    return told + await _refunds(session, payments, followed, billed)


def _follow_payment(row: Payment, theirs: stripe.PaymentIntent, billed: Billed) -> list[Dated]:
    before = row.status
    _copy_payment(row, theirs, billed)
    if row.status == before:
        return []
    if row.status == "succeeded":
        log.info("paid", payment=row.id, amount=str(row.amount), invoice=billed.invoice_id)
        return [(payment_facts.payment_succeeded(row, billed), _charged_at(theirs))]
    if row.status == FAILED:
        log.info("not paid", payment=row.id, amount=str(row.amount), decline_code=row.decline_code)
        return [(payment_facts.payment_failed(row, billed), _charged_at(theirs))]
    return []


def _copy_payment(row: Payment, theirs: stripe.PaymentIntent, billed: Billed) -> None:
    row.stripe_id = theirs.id
    row.status = _status(theirs.status)
    row.currency = theirs.currency
    row.amount_minor = theirs.amount
    row.invoice_id = billed.invoice_id or None
    row.description = theirs.description or ""
    row.client_secret = (theirs.client_secret or "") if row.status == "requires_action" else ""
    row.busy_until = None
    # Of an error, Stripe leaves out what it has nothing to say of.
    error = theirs.last_payment_error.to_dict() if theirs.last_payment_error and row.status == FAILED else {}
    row.decline_code = error.get("decline_code") or error.get("code") or ("unknown" if error else "")
    row.decline_message = error.get("message") or ("The card was declined." if error else "")


def _status(theirs: str) -> str:
    if theirs in ("requires_payment_method", "canceled"):
        return FAILED
    return _STATUSES.get(theirs, "processing")


async def _refunds(
    session: AsyncSession,
    payments: Payments,
    followed: Sequence[tuple[Payment, stripe.PaymentIntent]],
    billed: Mapping[str, Billed],
) -> list[Dated]:
    """Stripe is asked only of payments whose refunds are not as we know them."""
    known: dict[str, list[Refund]] = {}
    for refund in await payment_store.refunds_of(session, [row.id for row, _ in followed]):
        known.setdefault(refund.payment_id, []).append(refund)
    told: list[Dated] = []
    for row, theirs in followed:
        ours = known.get(row.id, [])
        if _differ(ours, theirs):
            told += await _follow_refunds(session, payments, row, ours, billed.get(theirs.id, Billed()))
    return told


def _differ(ours: Sequence[Refund], theirs: stripe.PaymentIntent) -> bool:
    charge = theirs.latest_charge
    refunded = charge.amount_refunded if isinstance(charge, stripe.Charge) else 0
    settled = sum(each.amount_minor for each in ours if each.status == "succeeded")
    return refunded != settled or any(each.status in ("begun", "pending") for each in ours)


async def _follow_refunds(
    session: AsyncSession, payments: Payments, payment: Payment, ours: Sequence[Refund], billed: Billed
) -> list[Dated]:
    by_id, by_stripe_id = {row.id: row for row in ours}, {row.stripe_id: row for row in ours}
    told: list[Dated] = []
    for theirs in await payments.refunds_of(payment.stripe_id or ""):
        metadata = theirs.metadata.to_dict() if theirs.metadata else {}
        row = by_stripe_id.get(theirs.id) or by_id.get(metadata.get("refund_id", "")) or _new_refund(payment, theirs)
        session.add(row)
        before = row.status
        _copy_refund(row, theirs)
        if row.status != before and row.status == "succeeded":
            log.info("refunded", refund=row.id, payment=payment.id, amount=str(row.amount))
            told.append((payment_facts.payment_refunded(row, payment, billed), _moment(theirs.created)))
        elif row.status != before and row.status == FAILED:
            log.error("a refund has failed", refund=row.id, payment=payment.id, amount=str(row.amount))
    await session.flush()
    await payment_store.count_refunds(session, payment.id)
    await session.refresh(payment, ["refunded_minor"])
    return told


def _new_refund(payment: Payment, theirs: stripe.Refund) -> Refund:
    """One that was made by hand at Stripe."""
    return Refund(
        id=new_id(), payment_id=payment.id, status="", reason=theirs.reason or "", created_at=_moment(theirs.created)
    )


def _copy_refund(row: Refund, theirs: stripe.Refund) -> None:
    row.stripe_id = theirs.id
    row.status = _REFUND_STATUSES.get(theirs.status or "", "pending")
    row.currency = theirs.currency
    row.amount_minor = theirs.amount
    row.busy_until = None


def _charged_at(theirs: stripe.PaymentIntent) -> datetime:
    charge = theirs.latest_charge
    return _moment(charge.created if isinstance(charge, stripe.Charge) else theirs.created)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
