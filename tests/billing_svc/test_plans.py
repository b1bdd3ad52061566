"""Plans and prices are data; amounts are whole minor units."""

from pathlib import Path

import pytest
from chatmesh.billing.v1 import billing_pb2 as pb
from sqlalchemy import update

from billing_svc.models import Entitlement
from billing_svc.money import Money
from billing_svc.plans import Plans
from svckit.errors import InvalidArgument
from svckit.postgres import Database
from tests.billing_svc.administrator import Administrator
from tests.billing_svc.conftest import Billing
from tests.billing_svc.customer import Customer
from tests.billing_svc.stripe_side import StripeSide
from tests.callers import refusal


async def test_anybody_may_see_the_plans_cheapest_first(billing: Billing) -> None:
    plans = (await billing.stub.ListPlans(pb.ListPlansRequest())).plans

    assert [plan.id for plan in plans] == ["free", "pro", "team"]
    assert [[price.amount.amount_minor for price in plan.prices] for plan in plans] == [
        [],
        [2000, 20000],
        [5000, 50000],
    ]
    assert {price.amount.currency for plan in plans for price in plan.prices} == {"usd"}
    assert [plan.limits.tokens_per_month for plan in plans] == [50_000, 2_000_000, 10_000_000]
    assert not plans[0].limits.HasField("overage_per_1000_tokens")


async def test_prices_come_in_the_currency_that_is_asked_for(billing: Billing) -> None:
    plans = (await billing.stub.ListPlans(pb.ListPlansRequest(currency="jpy"))).plans

    assert [price.amount.amount_minor for price in plans[1].prices] == [3000, 30000]
    assert plans[1].limits.overage_per_1000_tokens == pb.Money(amount_minor=3, currency="jpy")


async def test_where_nothing_is_sold_there_is_the_free_plan(billing: Billing) -> None:
    plans = (await billing.stub.ListPlans(pb.ListPlansRequest(currency="chf"))).plans

    assert [plan.id for plan in plans] == ["free"]


async def test_a_currency_is_three_small_letters(billing: Billing) -> None:
    error = await refusal(billing.stub.ListPlans(pb.ListPlansRequest(currency="USD")))

    assert isinstance(error, InvalidArgument)
    assert error.violations[0].field == "currency"


@pytest.mark.parametrize("currency", ["usd", "eur", "jpy", "kwd"])
def test_a_year_costs_ten_months(currency: str) -> None:
    plans = [plan for plan in Plans.read().sold_in(currency) if plan.id != "free"]

    assert [plan.year[currency] for plan in plans] == [10 * plan.month[currency] for plan in plans]


def test_a_plan_file_that_is_wrong_names_the_plan_and_the_field(tmp_path: Path) -> None:
    file = tmp_path / "plans.toml"
    file.write_text('[pro]\nname = "Pro"\ntokens_per_month = -1\nconcurrent_generations = 2\nmodels = ["*"]\n')

    with pytest.raises(ValueError, match=r"pro\.tokens_per_month"):
        Plans.read(file)


def test_a_price_that_stripe_would_not_charge_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "plans.toml"
    free = 'name = "Free"\ntokens_per_month = 1\nconcurrent_generations = 2\nmodels = ["*"]\n'
    file.write_text(f"[free]\n{free}[pro]\n{free}month = {{ kwd = 6155 }}\n")

    with pytest.raises(ValueError, match=r"pro\.month(.|\n)*kwd: Stripe does not charge 6155, but 6160"):
        Plans.read(file)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Money(2000, "usd"), "20.00 USD"),
        (Money(-5, "usd"), "-0.05 USD"),
        (Money(3000, "jpy"), "3000 JPY"),
        (Money(0, "jpy"), "0 JPY"),
        (Money(1500, "kwd"), "1.500 KWD"),
        (Money(7, "bhd"), "0.007 BHD"),
    ],
)
def test_an_amount_is_written_with_the_decimals_of_its_currency(amount: Money, text: str) -> None:
    assert str(amount) == text


async def test_who_has_a_plan_that_is_sold_no_more_keeps_what_it_included(
    customer: Customer, administrator: Administrator, database: Database, stripe_side: StripeSide
) -> None:
    """As an older file of plans has left it: Stripe has its price, and we know what it included last."""
    made = await customer.subscribe("pro")
    gone = f"gone-{customer.id}"
    await _move(stripe_side, customer, gone)
    await administrator.reconcile(user_id=customer.id)
    unknown = await customer.entitlements()
    async with database.transaction() as session:
        last = {"plan_id": gone, "limits": Plans.read().sold_in("usd")[1].limits.model_dump(mode="json")}
        await session.execute(update(Entitlement).where(Entitlement.user_id == customer.id).values(last))
    await stripe_side.pass_time(customer.id, made.current_period_end_time.seconds + 2 * 60 * 60)
    await administrator.reconcile(user_id=customer.id)
    kept = await customer.entitlements()
    usage = await customer.stub.GetBillingUsage(pb.GetBillingUsageRequest(), metadata=customer.metadata)

    assert unknown.plan_id == "free"
    assert (kept.plan_id, kept.limits.tokens_per_month) == (gone, 2_000_000)
    assert kept.version == unknown.version + 1
    assert (usage.period_start_time, usage.tokens_included) == (made.current_period_end_time, 2_000_000)


async def _move(stripe_side: StripeSide, customer: Customer, plan_id: str) -> None:
    """Have the customer pay for that plan at Stripe."""
    stripe = stripe_side.client.v1
    product = await stripe.products.create_async({"name": plan_id})
    price = await stripe.prices.create_async(
        {
            "product": product.id,
            "unit_amount": 2000,
            "currency": "usd",
            "recurring": {"interval": "month"},
            "metadata": {"plan_id": plan_id},
        }
    )
    (theirs,) = await stripe_side.subscriptions(customer.id)
    await stripe.subscriptions.update_async(
        theirs.id,
        {
            "items": [{"id": theirs.items.data[0].id, "price": price.id}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "error_if_incomplete",
        },
    )
