"""What an HTTP error of a provider means, or a lost connection: the same on every wire."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType

from chat_svc.providers import ProviderError

_CODES: Mapping[int, str] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: "upstream_unauthorized",
        HTTPStatus.PAYMENT_REQUIRED: "upstream_unauthorized",
        HTTPStatus.FORBIDDEN: "upstream_unauthorized",
        HTTPStatus.REQUEST_TIMEOUT: "upstream_timeout",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "context_overflow",
        HTTPStatus.TOO_MANY_REQUESTS: "rate_limited",
        HTTPStatus.GATEWAY_TIMEOUT: "upstream_timeout",
    }
)


def refused(status: int, detail: str, *, headers: Mapping[str, str]) -> ProviderError:
    """The error for an answer with that status; `headers` may say when to come again."""
    code = _CODES.get(status)
    if code is None:
        code = "upstream_unavailable" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "upstream_rejected"
    return ProviderError(code, detail, retry_after=_retry_after(headers))


def took_too_long(error: BaseException | None) -> bool:
    """Whether a time-out is behind it: OpenAI's SDK takes every connection that aiohttp loses for one."""
    return error is not None and (isinstance(error, TimeoutError) or took_too_long(error.__cause__))


def _retry_after(headers: Mapping[str, str]) -> timedelta:
    """The time that the provider asks for: in milliseconds, in seconds or as a date; nothing when it cannot be read."""
    seconds = headers.get("retry-after", "")
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(timedelta(milliseconds=float(milliseconds)), timedelta(0))
        return max(timedelta(seconds=float(seconds)), timedelta(0))
    except (ValueError, OverflowError):
        return _until(seconds)


def _until(date: str) -> timedelta:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return timedelta(0)
    return max(moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC), timedelta(0))
