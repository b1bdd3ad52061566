"""Tokens of previews: what was promised, signed, so that it is charged exactly or not at all. None is kept."""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from billing_svc.driver.errors import PreviewExpired
from billing_svc.driver.subscriptions import Order
from billing_svc.models import Subscription
from svckit.errors import InvalidArgument

_GOOD_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Promise:
    """What a change of a subscription, as it is, costs when it is prorated at `date`."""

    subscription_id: str
    state: str
    plan_id: str
    interval: str
    coupon: str
    due_minor: int
    date: int
    expires: int

    @classmethod
    def of(cls, row: Subscription, order: Order, *, due_minor: int, date: int, now: datetime) -> "Promise":
        return cls(
            subscription_id=row.id,
            state=_state(row),
            plan_id=order.plan.id,
            interval=order.interval,
            coupon=order.coupon,
            due_minor=due_minor,
            date=date,
            expires=int((now + _GOOD_FOR).timestamp()),
        )


class Previews:
    """Makes tokens of promises and reads them again; every replica reads every token."""

    def __init__(self, secret: str) -> None:
        """`secret`: of all services; what is signed with here is derived from it for this one use."""
        self._key = hmac.digest(secret.encode(), b"chatmesh billing preview", "sha256")

    def token(self, promise: Promise) -> str:
        body = json.dumps(list(asdict(promise).values())).encode()
        return f"{_text(body)}.{_text(self._sign(body))}"

    def read(self, token: str, row: Subscription, order: Order, *, now: datetime) -> Promise:
        """What was promised. Raises InvalidArgument PREVIEW_TOKEN_INVALID and PreviewExpired."""
        promise = self._verified(token)
        if promise is None:
            raise _invalid("is not one of ours")
        asked = (row.id, order.plan.id, order.interval, order.coupon)
        if (promise.subscription_id, promise.plan_id, promise.interval, promise.coupon) != asked:
            raise _invalid("is of another change")
        if promise.expires < now.timestamp() or promise.state != _state(row):
            raise PreviewExpired
        return promise

    def _verified(self, token: str) -> Promise | None:
        body, _, signature = token.partition(".")
        try:
            raw, signed = base64.urlsafe_b64decode(body), base64.urlsafe_b64decode(signature)
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(signed, self._sign(raw)):
            return None
        try:
            return Promise(*json.loads(raw))
        except TypeError:  # another version's
            return None

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")


def _state(row: Subscription) -> str:
    """Changes whenever something changes that a charge depends on."""
    seen = [row.plan_id, row.interval, row.status, row.amount_minor, row.pending_plan_id, row.cancel_at_period_end]
    ends = row.current_period_end.isoformat() if row.current_period_end else ""
    return hashlib.sha256(json.dumps([*seen, ends]).encode()).hexdigest()[:16]


def _invalid(what: str) -> InvalidArgument:
    return InvalidArgument.of("preview_token", what, reason="PREVIEW_TOKEN_INVALID")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()
