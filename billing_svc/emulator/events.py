"""What happened, newest first: the list that a receiver of webhooks can catch up from."""

from billing_svc.emulator.call import Call
from billing_svc.emulator.objects import Json


def retrieve(call: Call) -> Json:
    return call.get("event", call.id)


def list_all(call: Call) -> Json:
    params = call.params
    return call.listed("event", where={"type": params.text("type")}, among={"type": params.texts("types")})
