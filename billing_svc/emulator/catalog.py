"""Products, and prices that never change once they are made."""

from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json, new_id
from billing_svc.emulator.refusals import Refused


def create_product(call: Call) -> Json:
    params = call.params
    id_ = params.text("id") or new_id("prod")
    if call.objects.find("product", id_):
        raise Refused("Product already exists.", code="resource_already_exists", param="id")
    product = {
        "id": id_,
        "object": "product",
        "active": True,
        "created": call.clock.now(),
        "description": params.text("description") or None,
        "livemode": False,
        "metadata": params.metadata(),
        "name": params.required("name"),
    }
    return call.put(product, "product.created")


def create_price(call: Call) -> Json:
    params = call.params
    product = call.get("product", params.required("product"), param="product")
    recurring = params.child("recurring")
    lookup_key = params.text("lookup_key") or None
    _refuse_taken(call, lookup_key)
    currency = params.currency("currency")
    amount = params.amount("unit_amount", currency)
    price = {
        "id": new_id("price"),
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": call.clock.now(),
        "currency": currency,
        "livemode": False,
        "lookup_key": lookup_key,
        "metadata": params.metadata(),
        "nickname": None,
        "product": product["id"],
        "recurring": {
            "interval": recurring.choice("interval", ("month", "year"), ""),
            "interval_count": 1,
            "meter": None,
            "usage_type": "licensed",
        },
        "type": "recurring",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }
    return call.put(price, "price.created")


def list_prices(call: Call) -> Json:
    return call.listed("price", where={}, among={"lookup_key": call.params.texts("lookup_keys")})


def _refuse_taken(call: Call, lookup_key: str | None) -> None:
    if lookup_key and (taken := call.objects.newest("price", where={"lookup_key": lookup_key})):
        message = f"A price (`{taken[0]['id']}`) already uses that lookup key."
        raise Refused(message, param="lookup_key")
