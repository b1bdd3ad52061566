"""The RPCs of BillingService, one method each, a file for each resource. Those that are not here are not served yet."""

from dataclasses import dataclass

from billing_svc.servicer.changes import ChangeRpcs
from billing_svc.servicer.customers import CustomerRpcs
from billing_svc.servicer.invoices import InvoiceRpcs
from billing_svc.servicer.payments import PaymentRpcs
from billing_svc.servicer.plans import PlanRpcs
from billing_svc.servicer.reconciliations import ReconciliationRpcs
from billing_svc.servicer.stripe_events import StripeEventRpcs
from billing_svc.servicer.subscriptions import SubscriptionRpcs
from billing_svc.servicer.timelines import TimelineRpcs
from billing_svc.servicer.usage import UsageRpcs


@dataclass(kw_only=True, eq=False)
class Billing(
    PlanRpcs,
    SubscriptionRpcs,
    ChangeRpcs,
    PaymentRpcs,
    InvoiceRpcs,
    UsageRpcs,
    CustomerRpcs,
    StripeEventRpcs,
    TimelineRpcs,
    ReconciliationRpcs,
):
    """The whole service: what each resource needs is a field of its own class."""
