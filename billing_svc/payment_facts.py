"""What the rest of the mesh is told of money: that it came, did not come, or went back."""

from dataclasses import dataclass

from chatmesh.events.v1 import events_pb2 as ev
from google.protobuf.message import Message

from billing_svc.models import Invoice, Payment, Refund

_REASONS = {
    "duplicate": ev.REFUND_REASON_DUPLICATE,
    "fraudulent": ev.REFUND_REASON_FRAUDULENT,
    "requested_by_customer": ev.REFUND_REASON_REQUESTED_BY_CUSTOMER,
}


@dataclass(frozen=True, slots=True)
class Billed:
    """What a payment was for; all empty when it was for no invoice."""

    invoice_id: str = ""
    subscription_id: str = ""
    plan: str = ""
    total_minor: int = 0
    tax_minor: int = 0

    @classmethod
    def by(cls, invoice: Invoice, *, plan: str) -> "Billed":
        return cls(invoice.id, invoice.subscription_id or "", plan, invoice.total_minor, invoice.tax_minor)

    def tax_of(self, amount_minor: int) -> int:
        """The tax in a part of what was paid, rounded half up."""
        return (self.tax_minor * amount_minor * 2 + self.total_minor) // (2 * self.total_minor) if self.tax_minor else 0


def payment_succeeded(row: Payment, billed: Billed) -> Message:
    return ev.PaymentSucceeded(
        user_id=row.user_id,
        payment_id=row.id,
        invoice_id=billed.invoice_id,
        subscription_id=billed.subscription_id,
        plan=billed.plan,
        currency=row.currency.upper(),
        amount_minor=row.amount_minor,
        tax_minor=billed.tax_minor,
    )


def payment_failed(row: Payment, billed: Billed) -> Message:
    return ev.PaymentFailed(
        user_id=row.user_id,
        payment_id=row.id,
        invoice_id=billed.invoice_id,
        subscription_id=billed.subscription_id,
        plan=billed.plan,
        currency=row.currency.upper(),
        amount_minor=row.amount_minor,
        tax_minor=billed.tax_minor,
        error_code=row.decline_code,
    )


def payment_refunded(row: Refund, payment: Payment, billed: Billed) -> Message:
    return ev.PaymentRefunded(
        user_id=payment.user_id,
        refund_id=row.id,
        payment_id=payment.id,
        invoice_id=billed.invoice_id,
        subscription_id=billed.subscription_id,
        plan=billed.plan,
        currency=row.currency.upper(),
        amount_minor=row.amount_minor,
        tax_minor=billed.tax_of(row.amount_minor),
        reason=_REASONS.get(row.reason, ev.REFUND_REASON_UNSPECIFIED),
    )
