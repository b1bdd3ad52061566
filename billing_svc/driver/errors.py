"""What Stripe's errors mean to our callers: what they can change, and what nobody knows."""

from collections.abc import Iterator
from contextlib import contextmanager

import stripe
import structlog

from svckit.errors import Aborted, FailedPrecondition, InvalidArgument, Unavailable

log = structlog.get_logger(__name__)

# Of our requests' parameters, those that a caller gave us, by the caller's name of them.
_CALLERS_FIELDS = {
    "payment_method": "payment_method",
    "default_payment_method": "payment_method",
    "discounts": "coupon",
}


class Unsure(Unavailable):
    """Nobody knows whether Stripe did it: ask again with the same key. `spent`: that key only repeats a failure."""

    def __init__(self, *, spent: bool = False) -> None:
        super().__init__("the payment provider does not answer, try again", reason="PAYMENT_PROVIDER_UNAVAILABLE")
        self.spent = spent


class Declined(FailedPrecondition):
    """The card was refused, and nothing was made."""

    def __init__(self, message: str, *, code: str) -> None:
        """`code`: Stripe's decline code (https://docs.stripe.com/declines/codes)."""
        super().__init__(message, reason="CARD_DECLINED", metadata={"decline_code": code})
        self.code = code


class Challenged(FailedPrecondition):
    """The card's bank wants to see its owner first; nothing was made."""

    def __init__(self) -> None:
        message = "the card's bank wants a confirmation, which cannot go with a coupon: change without one"
        super().__init__(message, reason="AUTHENTICATION_REQUIRED")


class Meanwhile(Aborted):
    """Another request has changed the subscription since we looked at it."""

    def __init__(self) -> None:
        message = "the subscription was changed by another request at the same time, try again"
        super().__init__(message, reason="CHANGE_IN_PROGRESS")


class PreviewExpired(Aborted):
    """What was previewed is no longer what would be charged."""

    def __init__(self) -> None:
        super().__init__("the preview is no longer true, take a new one", reason="PREVIEW_EXPIRED")


@contextmanager
def there_already(param: str) -> Iterator[None]:
    """Let it pass that somebody made it, or ended it, in the meantime."""
    try:
        yield
    except stripe.InvalidRequestError as error:
        if error.param != param:
            raise


@contextmanager
def translated() -> Iterator[None]:
    """Stripe's errors as ours: what it refused for a reason that the caller can change, and what nobody knows."""
    try:
        yield
    except stripe.CardError as error:
        raise _declined(error) from error
    except stripe.InvalidRequestError as error:
        if (refusal := _refused(error)) is None:
            raise
        raise refusal from error
    except stripe.StripeError as error:
        log.warning("stripe does not answer", error=type(error).__name__, request=error.request_id or "")
        raise Unsure(spent=_is_spent(error)) from error


def _declined(error: stripe.CardError) -> Declined | Challenged:
    if error.code == "subscription_payment_intent_requires_action":
        return Challenged()
    code = (error.error.decline_code if error.error else None) or error.code or "unknown"
    return Declined(error.user_message or "The card was declined.", code=code)


def _is_spent(error: stripe.StripeError) -> bool:
    """Whether Stripe has ended this request with a failure of its own, which it now repeats for the key.

    Only a repeated answer says so: behind a first 500, or one from a proxy, the request may still be at work.
    """
    replayed = (error.headers or {}).get("Idempotent-Replayed") == "true"
    return replayed and (error.http_status or 0) >= 500


def _refused(error: stripe.InvalidRequestError) -> InvalidArgument | FailedPrecondition | Aborted | None:
    """What the caller can do about it; None if nothing, because the mistake is ours."""
    param = (error.param or "").partition("[")[0]
    if field := _callers_field(error.param or ""):
        return InvalidArgument.of(field, error.user_message or "is not known", reason=f"{field.upper()}_INVALID")
    if error.code == "resource_missing" and not param:
        message = "there is no card to charge: give a payment method"
        return FailedPrecondition(message, reason="PAYMENT_METHOD_MISSING")
    if error.code == "resource_missing" and param == "id":
        return FailedPrecondition("the subscription has ended", reason="NOT_CHANGEABLE")
    if "proration_date" in (error.param or ""):
        return PreviewExpired()
    return None


def _callers_field(param: str) -> str | None:
    """Such as the coupon in `discounts[0][coupon]`, or in `phases[1][discounts][0][coupon]` of a schedule."""
    if param.startswith("phases[") and param.endswith("[coupon]"):
        return "coupon"
    return _CALLERS_FIELDS.get(param.partition("[")[0])
