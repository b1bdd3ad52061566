"""One call of the emulated API, as its handlers see it."""

import time
from dataclasses import dataclass, field, replace

from billing_svc.emulator import API_VERSION
from billing_svc.emulator.clock import Clock, StoppedClock
from billing_svc.emulator.expansion import shown
from billing_svc.emulator.objects import Json, Objects, new_id
from billing_svc.emulator.params import Params
from billing_svc.emulator.refusals import missing


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is being answered, inside its transaction."""

    objects: Objects
    clock: Clock
    params: Params
    # The id in the path; empty for a collection.
    id: str = ""
    idempotency_key: str = ""
    # Whether somebody listens to webhooks.
    webhooks: bool = False
    # Where the caller reached us: the beginning of the links to our pages.
    origin: str = ""
    request_id: str = field(default_factory=lambda: new_id("req"))

    def at(self, moment: int) -> "Call":
        """The same call at another time."""
        return replace(self, clock=StoppedClock(moment))

    def on_clock_of(self, customer: Json) -> "Call":
        """The same call at the customer's time: that of the test clock, for those who are on one."""
        if not (clock := customer["test_clock"]):
            return self
        return self.at(self.get("test_helpers.test_clock", clock)["frozen_time"])

    def get(self, kind: str, id_: str, *, param: str = "", name: str = "") -> Json:
        """The object, or Stripe's refusal: 404 for one in the path, 400 for one that a parameter names."""
        if (found := self.objects.find(kind, id_)) is None:
            raise missing(name or kind, id_, param=param or "id", status=400 if param else 404)
        return found

    def put(self, body: Json, *facts: str) -> Json:
        """Keep the object and say what happened to it, such as `invoice.paid`: one event each."""
        self.objects.put(body)
        for fact in facts:
            self._tell(fact, body)
        return body

    def listed(self, kind: str, *, where: dict[str, str], among: dict[str, list[str]] | None = None) -> Json:
        """A page of objects, newest first; empty filters count not (https://docs.stripe.com/api/pagination)."""
        limit = self.params.integer("limit", 10, least=1, most=100)
        found = self.objects.newest(
            kind,
            where={member: value for member, value in where.items() if value},
            among={member: values for member, values in (among or {}).items() if values},
            after=self.params.text("starting_after"),
            limit=limit + 1,
        )
        return {"object": "list", "url": f"/v1/{kind}s", "has_more": len(found) > limit, "data": found[:limit]}

    def _tell(self, type_: str, about: Json) -> None:
        event = self.objects.put(
            {
                "id": new_id("evt"),
                "object": "event",
                "api_version": API_VERSION,
                "created": self.clock.now(),
                "data": {"object": shown(self.objects, about)},
                "livemode": False,
                "pending_webhooks": int(self.webhooks),
                "request": {"id": self.request_id, "idempotency_key": self.idempotency_key or None},
                "type": type_,
            }
        )
        if self.webhooks:
            self.objects.connection.execute(
                "INSERT INTO deliveries (event, attempts, due, created) VALUES (?, 0, 0, ?)",
                (event["id"], int(time.time())),
            )
