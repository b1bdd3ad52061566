"""Our rows as the contract's messages."""

from datetime import UTC, datetime

import stripe
from chatmesh.billing.v1 import billing_pb2 as pb

from billing_svc.models import Entitlement, Invoice, Payment, Refund, Subscription
from billing_svc.money import Money
from billing_svc.plans import Limits, Plan
from svckit.timestamps import timestamp


def plan_message(plan: Plan, currency: str) -> pb.Plan:
    prices = {
        pb.INTERVAL_MONTH: plan.price("month", currency),
        pb.INTERVAL_YEAR: plan.price("year", currency),
    }
    return pb.Plan(
        id=plan.id,
        name=plan.name,
        prices=[
            pb.Price(interval=interval, amount=money_message(amount)) for interval, amount in prices.items() if amount
        ],
        limits=limits_message(plan, currency),
        trial_days=plan.trial_days,
    )


def limits_message(limits: Limits, currency: str) -> pb.PlanLimits:
    overage = limits.overage_per_1000_tokens.get(currency)
    return pb.PlanLimits(
        tokens_per_month=limits.tokens_per_month,
        concurrent_generations=limits.concurrent_generations,
        overage_per_1000_tokens=money_message(Money(overage, currency)) if overage else None,
        models=limits.models,
    )


def subscription_message(row: Subscription) -> pb.Subscription:
    return pb.Subscription(
        id=row.id,
        plan_id=row.plan_id,
        interval=pb.Interval.Value(f"INTERVAL_{row.interval.upper()}"),
        amount=money_message(row.amount),
        status=pb.SubscriptionStatus.Value(f"SUBSCRIPTION_STATUS_{row.status.upper()}"),
        current_period_start_time=timestamp(row.current_period_start),
        current_period_end_time=timestamp(row.current_period_end),
        cancel_at_period_end=row.cancel_at_period_end,
        trial_end_time=timestamp(row.trial_end),
        create_time=timestamp(row.created_at),
        cancel_time=timestamp(row.canceled_at),
        client_secret=row.client_secret,
        pending_plan_id=row.pending_plan_id,
        pending_interval=pb.Interval.Value(f"INTERVAL_{(row.pending_interval or 'unspecified').upper()}"),
        pending_time=timestamp(row.pending_at),
    )


def payment_message(row: Payment, *, refunds_on_their_way: int) -> pb.Payment:
    # More of them can have been begun since the row was read.
    pending = Money(min(refunds_on_their_way, row.refunded_minor), row.currency)
    return pb.Payment(
        id=row.id,
        amount=money_message(row.amount),
        refunded=money_message(Money(row.refunded_minor, row.currency)),
        refund_pending=money_message(pending),
        status=_payment_status(row, refunded=Money(row.refunded_minor - pending.minor, row.currency)),
        description=row.description,
        decline_code=row.decline_code,
        client_secret=row.client_secret,
        invoice_id=row.invoice_id or "",
        create_time=timestamp(row.created_at),
    )


def _payment_status(row: Payment, *, refunded: Money) -> pb.PaymentStatus.ValueType:
    if row.status == "begun":
        return pb.PAYMENT_STATUS_PROCESSING
    if row.status == "succeeded" and refunded == row.amount:
        return pb.PAYMENT_STATUS_REFUNDED
    return pb.PaymentStatus.Value(f"PAYMENT_STATUS_{row.status.upper()}")


def refund_message(row: Refund) -> pb.Refund:
    status = "pending" if row.status == "begun" else row.status
    return pb.Refund(
        id=row.id,
        payment_id=row.payment_id,
        amount=money_message(row.amount),
        status=pb.RefundStatus.Value(f"REFUND_STATUS_{status.upper()}"),
        reason=row.reason,
        create_time=timestamp(row.created_at),
    )


def invoice_message(row: Invoice) -> pb.Invoice:
    return pb.Invoice(
        id=row.id,
        number=row.number,
        status=pb.InvoiceStatus.Value(f"INVOICE_STATUS_{row.status.upper()}"),
        total=money_message(Money(row.total_minor, row.currency)),
        tax=money_message(Money(row.tax_minor, row.currency)),
        amount_due=money_message(Money(row.amount_due_minor, row.currency)),
        hosted_url=row.hosted_url,
        subscription_id=row.subscription_id or "",
        period_start_time=timestamp(row.period_start),
        period_end_time=timestamp(row.period_end),
        create_time=timestamp(row.created_at),
    )


def line_message(theirs: stripe.InvoiceLineItem) -> pb.InvoiceLine:
    parent = theirs.parent
    details = (parent.subscription_item_details or parent.invoice_item_details) if parent else None
    discounts = sum(each.amount for each in theirs.discount_amounts or ())
    return pb.InvoiceLine(
        description=theirs.description or "",
        amount=money_message(Money(theirs.amount - discounts, theirs.currency)),
        proration=bool(details and details.proration),
        period_start_time=timestamp(datetime.fromtimestamp(theirs.period.start, UTC)),
        period_end_time=timestamp(datetime.fromtimestamp(theirs.period.end, UTC)),
    )


def entitlements_message(row: Entitlement) -> pb.Entitlements:
    return pb.Entitlements(
        version=row.version,
        plan_id=row.plan_id,
        limits=limits_message(Limits.model_validate(row.limits), row.currency),
        valid_until_time=timestamp(row.period_end),
    )


def money_message(amount: Money) -> pb.Money:
    return pb.Money(amount_minor=amount.minor, currency=amount.currency)
