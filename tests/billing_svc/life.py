"""What happens to one customer, most of it at Stripe without us; and how all of it stands at the end."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import stripe
from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.events.v1 import events_pb2 as ev

from billing_svc import drift
from billing_svc.emulator.objects import Json
from svckit.events import Bus
from svckit.postgres import Database
from tests.billing_svc.conftest import Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.billing_svc.test_events import heard

# Stripe's price of the bigger plan, by its lookup key.
_DEARER = "team_month_usd_5000"


@dataclass
class Life:
    """One customer's: tries a plan, pays beside it, is given back, converts, upgrades and ends."""

    billing: Billing
    stripe_side: StripeSide
    customer: Customer
    at_stripe: str
    made: pb.Subscription
    delivered: list[Json] = field(default_factory=list)

    @classmethod
    async def begun(cls, billing: Billing, stripe_side: StripeSide) -> "Life":
        customer = billing.customer()
        made = await customer.subscribe("pro", trial=True, payment_method="pm_card_visa")
        await customer.pay(1500)
        (theirs,) = await stripe_side.customers(customer.id)
        return cls(billing, stripe_side, customer, theirs, made)

    @property
    def acts(self) -> Sequence[Callable[[], Awaitable[None]]]:
        return (
            self._refund_a_part,
            self._pay_in_two_tries,
            self._end_the_trial,
            self._upgrade,
            self._refund_the_rest,
            self._cancel,
        )

    async def events(self) -> list[Json]:
        """All that Stripe has to tell, oldest first."""
        return await self.stripe_side.events(self.at_stripe)

    async def news(self) -> list[Json]:
        """What of it was not told yet."""
        return [each for each in await self.events() if each not in self.delivered]

    async def _refund_a_part(self) -> None:
        await self.stripe_side.client.v1.refunds.create_async({"payment_intent": await self._paid(), "amount": 600})

    async def _refund_the_rest(self) -> None:
        await self.stripe_side.client.v1.refunds.create_async({"payment_intent": await self._paid()})

    async def _pay_in_two_tries(self) -> None:
        intents = self.stripe_side.client.v1.payment_intents
        made = await intents.create_async({"customer": self.at_stripe, "amount": 900, "currency": "usd"})
        await intents.confirm_async(made.id, {"payment_method": "pm_card_visa"})

    async def _end_the_trial(self) -> None:
        await self.stripe_side.pass_time(self.customer.id, self.made.trial_end_time.seconds + 2 * 60 * 60)

    async def _upgrade(self) -> None:
        """From the beginning of the period on, so that it costs everybody the same."""
        theirs, prices = await self._subscription(), self.stripe_side.client.v1.prices
        item, (dearer,) = theirs.items.data[0], (await prices.list_async({"lookup_keys": [_DEARER]})).data
        await self.stripe_side.client.v1.subscriptions.update_async(
            theirs.id,
            {
                "items": [{"id": item.id, "price": dearer.id}],
                "proration_behavior": "always_invoice",
                "proration_date": item.current_period_start,
                "payment_behavior": "error_if_incomplete",
            },
        )

    async def _cancel(self) -> None:
        await self.stripe_side.client.v1.subscriptions.cancel_async((await self._subscription()).id)

    async def _subscription(self) -> stripe.Subscription:
        (theirs,) = await self.stripe_side.subscriptions(self.customer.id)
        return theirs

    async def _paid(self) -> str:
        return next(each.id for each in await self.stripe_side.payments(self.customer.id) if each.amount == 1500)


@dataclass(frozen=True)
class State:
    """How everything stands, without ids, times and the versions that many steps or few have made."""

    rows: list[tuple[str, dict[str, object]]]
    plan: str
    """Whose rights the customer has."""
    told: Counter[tuple[str, int]]
    revenue_moved: int
    """Of each month, in minor units: the sum of what the events say."""
    timeline: Counter[tuple[str, int]]


async def state(life: Life, database: Database, bus: Bus) -> State:
    """Waits until the customer's last event is published."""
    rights = await life.customer.entitlements()
    told = await heard(bus, life.customer.id, last=ev.EntitlementsChanged, times=rights.version)
    moves = [
        each
        for each in told
        if isinstance(each, ev.SubscriptionCreated | ev.SubscriptionChanged | ev.SubscriptionCancelled)
    ]
    happened = (await life.billing.administrator().timeline(life.customer.id, page_size=100)).entries
    return State(
        rows=await _rows(life, database),
        plan=rights.plan_id,
        # How many steps a subscription and its rights were seen to take is chance.
        told=Counter(
            (each.DESCRIPTOR.name, getattr(each, "amount_minor", 0))
            for each in told
            if not isinstance(each, ev.SubscriptionChanged | ev.EntitlementsChanged)
        ),
        revenue_moved=sum(each.mrr_after_minor - each.mrr_before_minor for each in moves),
        timeline=Counter(
            (each.type, each.amount.amount_minor) for each in happened if not each.type.startswith("webhook.")
        ),
    )


async def _rows(life: Life, database: Database) -> list[tuple[str, dict[str, object]]]:
    """In an order of their own."""
    async with database.transaction() as session:
        found = await drift.picture(session, life.customer.id)
    wanted = ("status", "plan_id", "total_minor", "amount_due_minor", "amount_minor", "refunded_minor")
    rows = [(kind, {name: said[name] for name in wanted if name in said}) for (kind, _), said in found.items()]
    return sorted(rows, key=str)
