"""The RPCs of BillingService, one method each. Those that are not here are not served yet."""

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer

from billing_svc import store
from billing_svc.driver.subscriptions import Order
from billing_svc.models import Entitlement, Invoice, Subscription
from billing_svc.money import Money
from billing_svc.plans import Interval, Limits, Plan, Plans
from billing_svc.subscribing import Subscribing
from billing_svc.webhooks import Webhooks
from svckit import identity, paging
from svckit.errors import InvalidArgument, NotFound
from svckit.postgres import Database
from svckit.rpc.call import Context
from svckit.timestamps import timestamp

_DEFAULT_CURRENCY = "usd"
_INTERVALS: dict[int, Interval] = {
    pb.INTERVAL_UNSPECIFIED: "month",
    pb.INTERVAL_MONTH: "month",
    pb.INTERVAL_YEAR: "year",
}


class Billing(BillingServiceServicer):
    """Serves plans, subscriptions, invoices and entitlements; each caller sees their own."""

    def __init__(self, *, database: Database, plans: Plans, subscribing: Subscribing, webhooks: Webhooks) -> None:
        self._database = database
        self._plans = plans
        self._subscribing = subscribing
        self._webhooks = webhooks

    async def ListPlans(self, request: pb.ListPlansRequest, context: Context) -> pb.ListPlansResponse:
        currency = request.currency or _DEFAULT_CURRENCY
        return pb.ListPlansResponse(plans=[_plan(plan, currency) for plan in self._plans.sold_in(currency)])

    async def GetSubscription(self, request: pb.GetSubscriptionRequest, context: Context) -> pb.GetSubscriptionResponse:
        user_id = identity.user_id()
        async with self._database.transaction() as session:
            row = await store.find_subscription(session, request.subscription_id, user_id=user_id)
        if row is None:
            raise NotFound("no such subscription")
        return pb.GetSubscriptionResponse(subscription=_subscription(row))

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, context: Context
    ) -> pb.ListSubscriptionsResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        async with self._database.transaction() as session:
            rows = await store.subscriptions_page(session, identity.user_id(), before=before, limit=size + 1)
        return pb.ListSubscriptionsResponse(
            subscriptions=[_subscription(row) for row in rows[:size]],
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: Context
    ) -> pb.CreateSubscriptionResponse:
        order = self._order(request)
        row = await self._subscribing.subscribe(identity.user_id(), order, key=request.idempotency_key)
        await context.send_initial_metadata((("x-http-status", "201"), ("location", f"/api/subscriptions/{row.id}")))
        return pb.CreateSubscriptionResponse(subscription=_subscription(row))

    async def ListInvoices(self, request: pb.ListInvoicesRequest, context: Context) -> pb.ListInvoicesResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        async with self._database.transaction() as session:
            rows = await store.invoices_page(session, identity.user_id(), before=before, limit=size + 1)
        return pb.ListInvoicesResponse(
            invoices=[_invoice(row) for row in rows[:size]],
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def GetEntitlements(self, request: pb.GetEntitlementsRequest, context: Context) -> pb.GetEntitlementsResponse:
        async with self._database.transaction() as session:
            row = await store.entitlement(session, identity.user_id())
        return pb.GetEntitlementsResponse(entitlements=_entitlements(row) if row else self._free())

    async def ReceiveStripeEvent(
        self, request: pb.ReceiveStripeEventRequest, context: Context
    ) -> pb.ReceiveStripeEventResponse:
        await self._webhooks.receive(request.payload, request.signature)
        return pb.ReceiveStripeEventResponse()

    def _order(self, request: pb.CreateSubscriptionRequest) -> Order:
        plan = self._plans.get(request.plan_id)
        if plan is None:
            raise InvalidArgument.of("plan_id", "there is no such plan", reason="PLAN_UNKNOWN")
        if plan.id == self._plans.free.id:
            raise InvalidArgument.of("plan_id", "needs no subscription: everybody has it", reason="PLAN_FREE")
        interval, currency = _INTERVALS[request.interval], request.currency or _DEFAULT_CURRENCY
        price = plan.price(interval, currency)
        if price is None:
            message = f"the plan {plan.id} is not sold by the {interval} in that currency"
            raise InvalidArgument.of("currency", message, reason="PRICE_UNKNOWN")
        for field in ("payment_method", "coupon", "idempotency_key"):
            if "\0" in getattr(request, field):  # PostgreSQL keeps no NUL
                raise InvalidArgument.of(field, "must not contain NUL characters")
        return Order(plan, interval, price, card=request.payment_method, coupon=request.coupon)

    def _free(self) -> pb.Entitlements:
        """Of those who never subscribed: version 0, older than any snapshot."""
        free = self._plans.free
        return pb.Entitlements(plan_id=free.id, limits=_limits(free, _DEFAULT_CURRENCY))


def _plan(plan: Plan, currency: str) -> pb.Plan:
    prices = {
        pb.INTERVAL_MONTH: plan.price("month", currency),
        pb.INTERVAL_YEAR: plan.price("year", currency),
    }
    return pb.Plan(
        id=plan.id,
        name=plan.name,
        prices=[pb.Price(interval=interval, amount=_money(amount)) for interval, amount in prices.items() if amount],
        limits=_limits(plan, currency),
    )


def _limits(limits: Limits, currency: str) -> pb.PlanLimits:
    overage = limits.overage_per_1000_tokens.get(currency)
    return pb.PlanLimits(
        tokens_per_month=limits.tokens_per_month,
        concurrent_generations=limits.concurrent_generations,
        overage_per_1000_tokens=_money(Money(overage, currency)) if overage else None,
        models=limits.models,
    )


def _subscription(row: Subscription) -> pb.Subscription:
    return pb.Subscription(
        id=row.id,
        plan_id=row.plan_id,
        interval=pb.Interval.Value(f"INTERVAL_{row.interval.upper()}"),
        amount=_money(row.amount),
        status=pb.SubscriptionStatus.Value(f"SUBSCRIPTION_STATUS_{row.status.upper()}"),
        current_period_start_time=timestamp(row.current_period_start),
        current_period_end_time=timestamp(row.current_period_end),
        cancel_at_period_end=row.cancel_at_period_end,
        trial_end_time=timestamp(row.trial_end),
        create_time=timestamp(row.created_at),
        cancel_time=timestamp(row.canceled_at),
    )


def _invoice(row: Invoice) -> pb.Invoice:
    return pb.Invoice(
        id=row.id,
        number=row.number,
        status=pb.InvoiceStatus.Value(f"INVOICE_STATUS_{row.status.upper()}"),
        total=_money(Money(row.total_minor, row.currency)),
        tax=_money(Money(row.tax_minor, row.currency)),
        amount_due=_money(Money(row.amount_due_minor, row.currency)),
        hosted_url=row.hosted_url,
        subscription_id=row.subscription_id or "",
        period_start_time=timestamp(row.period_start),
        period_end_time=timestamp(row.period_end),
        create_time=timestamp(row.created_at),
    )


def _entitlements(row: Entitlement) -> pb.Entitlements:
    return pb.Entitlements(
        version=row.version,
        plan_id=row.plan_id,
        limits=_limits(Limits.model_validate(row.limits), row.currency),
        valid_until_time=timestamp(row.period_end),
    )


def _money(amount: Money) -> pb.Money:
    return pb.Money(amount_minor=amount.minor, currency=amount.currency)
