"""Why an answer broke off: stable codes, what each tells people, and whether trying again may help."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from chat_svc.models import Generation
from svckit.errors import InvalidArgument, ServiceError, Unavailable


@dataclass(frozen=True, slots=True)
class Failure:
    """What the caller is told. The provider's own words go to the log only: they may name accounts and addresses."""

    message: str
    retryable: bool


FAILURES: Mapping[str, Failure] = MappingProxyType(
    {
        "upstream_timeout": Failure("the model took too long", retryable=True),
        "upstream_unavailable": Failure("the model cannot be reached", retryable=True),
        "upstream_truncated": Failure("the answer ended before the model had finished it", retryable=True),
        "upstream_malformed": Failure("the model's provider sent what cannot be read", retryable=True),
        "upstream_rejected": Failure("the model's provider does not take this request", retryable=False),
        "upstream_unauthorized": Failure("the model's provider does not accept our credentials", retryable=False),
        "rate_limited": Failure("the model's provider is at its limit", retryable=True),
        "context_overflow": Failure("the message is too long for this model", retryable=False),
        "content_filtered": Failure("the model's provider does not answer this message", retryable=False),
        "interrupted": Failure("the service stopped while the answer was being written", retryable=True),
        "internal": Failure("something went wrong while the answer was being written", retryable=True),
    }
)


# The caller's mistakes: another message may be answered.
_OF_THE_MESSAGE = frozenset({"context_overflow", "content_filtered"})


def failure(code: str) -> Failure:
    """What `code` means; one that an older or newer version wrote is an internal one."""
    return FAILURES.get(code, FAILURES["internal"])


def error_of(generation: Generation) -> ServiceError:
    """What a caller that waits for the whole answer gets instead; the ids lead to what was written of it."""
    code = generation.error_code or "internal"
    if code in _OF_THE_MESSAGE:
        return InvalidArgument.of("message", failure(code).message, reason=code.upper())
    ids = {
        "conversation_id": generation.conversation_id or "",
        "generation_id": generation.id,
        "message_id": generation.message_id or "",
    }
    return Unavailable(failure(code).message, reason=code.upper(), metadata=ids)


def error_of_code(code: str) -> ServiceError:
    """The same for a completion, of which nothing was kept."""
    if code in _OF_THE_MESSAGE:
        return InvalidArgument.of("messages", failure(code).message, reason=code.upper())
    return Unavailable(failure(code).message, reason=code.upper())
