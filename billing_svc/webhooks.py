"""Stripe's webhooks: checked, stored once and answered; applied afterwards by asking Stripe how things are.

A webhook only says that something changed. What it carries is never copied, so copies of it, their order and their
age do not matter.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import stripe
import structlog
from prometheus_client import Counter

from billing_svc import event_store
from billing_svc.models import StripeEvent
from billing_svc.projection import Projection
from svckit.errors import InvalidArgument, NotFound, ServiceError
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_OLDEST = timedelta(minutes=5)
# Stripe's library accepts any time in the future; a clock that is a minute ahead is all that can be honest.
_NEWEST = timedelta(minutes=1)
# What our rows are made of; everything else that Stripe tells is only kept.
_APPLIED = re.compile(r"customer\.subscription\.|invoice\.|payment_intent\.|charge\.refund|refund\.")
_TRIES = 8
_LEASE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_POLL_SECONDS = 1.0
_WEBHOOKS = Counter(
    "billing_webhooks_total", "Webhooks, by what became of each; a failed one is tried again.", ["outcome"]
)


class Webhooks:
    """Receives webhooks, and applies them one after the other."""

    def __init__(self, *, database: Database, projection: Projection, secrets: Sequence[str], live: bool) -> None:
        """`secrets`: any of them may have signed; `live`: whether real money moves, which every webhook says too."""
        self._database = database
        self._projection = projection
        self._secrets = secrets
        self._live = live
        self._news = asyncio.Event()

    async def receive(self, payload: bytes, signature: str) -> None:
        """Check and store a webhook. Raises InvalidArgument SIGNATURE_INVALID, or for a payload that is no event."""
        now = datetime.now(UTC)
        self._verify(payload, signature, now=now)
        event = _row(payload, live=self._live, now=now)
        async with self._database.transaction() as session:
            new = await event_store.keep_event(session, event)
            if not new and await event_store.event_payload(session, str(event["id"])) != payload:
                log.error("a webhook came again with another content; the first is kept", event_id=event["id"])
        self._news.set()

    async def replay(self, event_id: str) -> StripeEvent:
        """Have a webhook applied again, with all its tries. Raises NotFound."""
        async with self._database.transaction() as session:
            replayed = await event_store.replay_event(session, event_id, now=datetime.now(UTC))
            event = replayed or await event_store.find_event(session, event_id)
        if event is None:
            raise NotFound("no such webhook")
        log.info("a webhook is applied again", event_id=event.id, type=event.type)
        self._news.set()
        return event

    async def apply_waiting(self) -> None:
        """For ever: apply what waits."""
        while True:
            self._news.clear()
            while await self._apply_one():
                pass
            await self._pause()

    def _verify(self, payload: bytes, header: str, *, now: datetime) -> None:
        tolerance = int(_OLDEST.total_seconds())
        for secret in self._secrets:
            try:
                stripe.WebhookSignature.verify_header(payload, header, secret, tolerance)
            except (stripe.SignatureVerificationError, UnicodeDecodeError):
                continue
            if _signed_at(header) <= (now + _NEWEST).timestamp():
                return
        _WEBHOOKS.labels("refused").inc()
        message = "is forged, too old, or from the future"
        raise InvalidArgument.of("signature", message, reason="SIGNATURE_INVALID")

    async def _apply_one(self) -> bool:
        """Apply the webhook that has waited longest; false when none is due.

        It is leased before and settled after: one that brings the process down is tried again later, not at once.
        """
        async with self._database.transaction() as session:
            event = await event_store.lease_event(session, now=datetime.now(UTC), lease=_LEASE)
        if event is None:
            return False
        if event.attempts > _TRIES:  # whatever goes wrong with it, nobody lived to put it off
            await self._put_off(event, event.last_error)
            return True
        try:
            async with self._database.transaction() as session:
                ours = await self._projection.follow(session, event.customer)
                status = "applied" if ours else "ignored"
                await event_store.settle_event(session, event.id, status=status)
            _WEBHOOKS.labels(status).inc()
        except (ServiceError, stripe.StripeError) as error:
            await self._put_off(event, str(error))
        return True

    async def _put_off(self, event: StripeEvent, error: str) -> None:
        dead = event.attempts >= _TRIES
        pause = min(timedelta(seconds=2**event.attempts), _LONGEST_PAUSE)
        async with self._database.transaction() as session:
            status = "dead" if dead else "failed"
            await event_store.settle_event(session, event.id, status=status, error=error, due=datetime.now(UTC) + pause)
        _WEBHOOKS.labels(status).inc()
        log.warning("a webhook was not applied", event_id=event.id, type=event.type, error=error, dead=dead)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await self._news.wait()
        except TimeoutError:
            pass


def _signed_at(header: str) -> int:
    """The time in a header that was verified."""
    return next(int(part.removeprefix("t=")) for part in header.split(",") if part.startswith("t="))


def _row(payload: bytes, *, live: bool, now: datetime) -> dict[str, object]:
    """What is kept of a webhook. Only what our rows are made of waits to be applied."""
    try:
        event = json.loads(payload)
        about: Mapping[str, object] = event["data"]["object"]
        customer = about.get("customer")
        row = {"id": str(event["id"]), "type": str(event["type"]), "customer": str(customer or "")}
        created, same = datetime.fromtimestamp(int(event["created"]), UTC), bool(event["livemode"]) == live
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise InvalidArgument.of("payload", "is not an event of Stripe's") from None
    if not same:
        log.error("a webhook of the other mode (live or test) is ignored", event_id=row["id"])
    waits = same and _APPLIED.match(row["type"]) is not None and row["customer"]
    status = "received" if waits else "ignored"
    return row | {
        "payload": payload,
        "created_at": created,
        "received_at": now,
        "status": status,
        "attempts": 0,
        "last_error": "",
        "due_at": now,
    }
