"""Coupons, and the discounts that come of giving one to a subscription."""

from collections.abc import Sequence
from fractions import Fraction

from billing_svc.emulator.call import Call
from billing_svc.emulator.clock import add_months
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.refusals import Refused, missing
from billing_svc.money import half_up

_PARAM = "discounts[0][coupon]"


def create(call: Call) -> Json:
    params = call.params
    percent = params.percent("percent_off")
    currency = params.currency("currency") if params.given("amount_off") else None
    amount = params.amount("amount_off", currency) if currency else 0
    if (percent is None) == (amount == 0):
        raise Refused("You must pass either `amount_off` or `percent_off` (not both).", param="amount_off")
    duration = params.choice("duration", ("once", "repeating", "forever"), "once")
    id_ = params.text("id") or new_id("")[1:9]
    if call.objects.find("coupon", id_):
        raise Refused("Coupon already exists.", code="resource_already_exists", param="id")
    coupon = {
        "id": id_,
        "object": "coupon",
        "amount_off": amount or None,
        "created": call.clock.now(),
        "currency": currency,
        "duration": duration,
        "duration_in_months": params.integer("duration_in_months", least=1) if duration == "repeating" else None,
        "livemode": False,
        "max_redemptions": None,
        "metadata": params.metadata(),
        "name": params.text("name") or None,
        "percent_off": percent,
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": True,
    }
    return call.put(coupon, "coupon.created")


def retrieve(call: Call) -> Json:
    return call.get("coupon", call.id)


def delete(call: Call) -> Json:
    """Nobody gets it any more; who has it keeps it."""
    call.put(call.get("coupon", call.id) | {"valid": False}, "coupon.deleted")
    return {"id": call.id, "object": "coupon", "deleted": True}


def redeemed(call: Call, customer: Json, subscription: str, currency: str) -> list[Json]:
    """The discounts that the request's `discounts` ask for: of new coupons, or some that are there already."""
    return [
        _kept(call, discount.text("discount"))
        or redeem(call, usable(call, discount.required("coupon"), currency, param=_PARAM), customer, subscription)
        for discount in call.params.children("discounts")
    ]


def of(call: Call, subscription: Json) -> list[Json]:
    """The subscription's discounts that have not run out."""
    found = [call.get("discount", id_) for id_ in subscription["discounts"]]
    return [each for each in found if each["end"] is None or each["end"] > call.clock.now()]


def after_use(call: Call, discounts: Sequence[Json]) -> list[str]:
    """Ids of those that stay once an invoice has used them: all but those that work once."""
    durations = {each["id"]: call.get("coupon", each["source"]["coupon"])["duration"] for each in discounts}
    return [id_ for id_, duration in durations.items() if duration != "once"]


def deducted(call: Call, discounts: Sequence[Json], amounts: Sequence[int]) -> list[list[Json]]:
    """What each amount of one invoice is reduced by, discount by discount."""
    found: list[list[Json]] = [[] for _ in amounts]
    left = list(amounts)
    for discount in discounts:
        coupon = call.get("coupon", discount["source"]["coupon"])
        currency, budget = call.get("customer", discount["customer"])["currency"], coupon["amount_off"]
        for place, amount in enumerate(left):
            if coupon["percent_off"] is None:
                off = min(amount, budget)
                budget -= off
            else:
                off = half_up(Fraction(str(coupon["percent_off"])) * amount / 100, currency)
            left[place] -= off
            found[place].append({"amount": off, "discount": discount["id"]})
    return found


def usable(call: Call, id_: str, currency: str, *, param: str) -> Json:
    """The coupon, if subscriptions in that currency can have it."""
    coupon = call.objects.find("coupon", id_)
    if coupon is None or not coupon["valid"]:
        raise missing("coupon", id_, param=param, status=400)
    if coupon["currency"] not in (None, currency):
        raise Refused(f"The coupon is for {coupon['currency']} and the subscription in {currency}.", param=param)
    return coupon


def redeem(call: Call, coupon: Json, customer: Json, subscription: str) -> Json:
    """A discount that begins now."""
    now, months = call.clock.now(), coupon["duration_in_months"]
    call.put(coupon | {"times_redeemed": coupon["times_redeemed"] + 1})
    discount = {
        "id": new_id("di"),
        "object": "discount",
        "checkout_session": None,
        "customer": customer["id"],
        "end": add_months(now, months) if months else None,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": None,
        "source": {"type": "coupon", "coupon": coupon["id"]},
        "start": now,
        "subscription": subscription,
        "subscription_item": None,
    }
    return call.put(discount, "customer.discount.created")


def _kept(call: Call, id_: str) -> Json | None:
    return call.get("discount", id_, param="discounts[0][discount]") if id_ else None
