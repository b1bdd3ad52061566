"""Which model answers in the place of one that failed: decided before the first text, by what went wrong."""

from collections.abc import Iterator

from chat_svc.catalogue import Model
from chat_svc.providers import ProviderError

# What another model, or another provider, may not suffer from. Not what is wrong with the request itself.
_CURABLE = frozenset(
    {
        "rate_limited",
        "upstream_malformed",
        "upstream_timeout",
        "upstream_truncated",
        "upstream_unauthorized",
        "upstream_unavailable",
    }
)


def next_model(failed: Model, error: ProviderError, waiting: Iterator[Model]) -> Model | None:
    """The first of those that wait which may do better; None if nobody can."""
    if error.code == "context_overflow":
        return next((model for model in waiting if model.context_tokens > failed.context_tokens), None)
    return next(waiting, None) if error.code in _CURABLE else None
