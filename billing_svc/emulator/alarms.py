"""When something happens to an object by itself: a period ends, a card is tried again, patience runs out."""

from collections.abc import Iterator
from typing import Any

# How long a first payment, or that of a pending update, may stay open.
PATIENCE_SECONDS = 23 * 60 * 60


def due(body: dict[str, Any]) -> int | None:
    """The next such moment; None for what stays as it is until somebody changes it."""
    match body["object"]:
        case "subscription":
            return min(_of_subscription(body), default=None)
        case "invoice":
            return _of_invoice(body)
    return None


def _of_subscription(body: dict[str, Any]) -> Iterator[int]:
    if body["pending_update"]:
        yield body["pending_update"]["expires_at"]
    match body["status"]:
        case "incomplete":
            yield body["created"] + PATIENCE_SECONDS
        case "trialing" | "active" | "past_due":
            yield body["items"]["data"][0]["current_period_end"]


def _of_invoice(body: dict[str, Any]) -> int | None:
    moment: int | None = {"draft": body["automatically_finalizes_at"], "open": body["next_payment_attempt"]}.get(
        body["status"]
    )
    return moment
