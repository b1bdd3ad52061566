"""Reports on providers and their models. A request is a completion, whether it succeeded, failed or was cancelled."""
# ruff: noqa: S608 - queries are put together from texts of these files only; values are bound

from collections.abc import Sequence
from typing import NamedTuple, cast

from analytics_svc.clickhouse import ClickHouse, Row
from analytics_svc.ranges import Range
from analytics_svc.store.spans import OF_MODEL, OF_PLAN, WITHIN, wholes, within

_USAGE = f"""
SELECT provider, sum(n) AS requests, sum(model_15m.tokens_in), sum(model_15m.tokens_out), uniqMerge(users)
FROM model_15m WHERE {WITHIN} AND {OF_PLAN} GROUP BY provider ORDER BY requests DESC, provider
"""

_PERFORMANCE = f"""
SELECT provider, sum(n) AS requests, sumIf(n, type = 'chat.completion.succeeded'), sum(length(ttfts)),
    sumIf(tokens_out, type = 'chat.completion.succeeded'), sum(latency_ms),
    quantilesExactArray(0.5, 0.95, 0.99)(latencies), quantilesExactArray(0.5, 0.95)(ttfts)
FROM model_15m WHERE {WITHIN} AND {OF_MODEL} GROUP BY provider ORDER BY requests DESC, provider
"""

_COST = f"""
SELECT provider, model, sum(model_15m.cost_micros) AS cost, sum(n)
FROM model_15m WHERE {WITHIN} AND {OF_PLAN} GROUP BY provider, model ORDER BY cost DESC, provider, model
"""

_POPULAR = f"""
SELECT provider, model, sum(n) AS requests, uniqMerge(users)
FROM model_15m WHERE {WITHIN}
GROUP BY provider, model ORDER BY requests DESC, provider, model LIMIT {{limit:UInt32}}
"""

_ERRORS = f"""
SELECT provider, model, error_code, sumIf(n, type = 'chat.completion.failed') AS errors,
    sum(sum(n)) OVER (PARTITION BY provider, model) AS requests
FROM model_15m WHERE {WITHIN} AND {OF_MODEL}
GROUP BY provider, model, error_code
ORDER BY errors DESC, provider, model, error_code
"""


class Usage(NamedTuple):
    """What one provider was asked for, and by how many people."""

    provider: str
    requests: int
    tokens_in: int
    tokens_out: int
    unique_users: int


class Performance(NamedTuple):
    """How one provider answered; times are in milliseconds, of successes only, percentiles 0 where there is none."""

    provider: str
    requests: int
    successes: int
    with_ttft: int
    tokens_out: int
    latency_ms: int
    latencies: Sequence[int]
    ttfts: Sequence[int]


class Cost(NamedTuple):
    """What one model cost, in millionths of a US dollar."""

    provider: str
    model: str
    cost_micros: int
    requests: int


class Popular(NamedTuple):
    """How much one model was asked for, and by how many people."""

    provider: str
    model: str
    requests: int
    unique_users: int


class Errors(NamedTuple):
    """How often one model failed in one way; `requests` are all of that model."""

    provider: str
    model: str
    error_code: str
    errors: int
    requests: int


async def usage(clickhouse: ClickHouse, span: Range, *, plan: str) -> list[Usage]:
    """The provider with the most requests first."""
    rows = await clickhouse.query(_USAGE, within(span) | {"plan": plan})
    return [Usage(str(provider), *wholes(rest)) for provider, *rest in rows]


async def performance(clickhouse: ClickHouse, span: Range, *, provider: str, model: str) -> list[Performance]:
    """The provider with the most requests first."""
    rows = await clickhouse.query(_PERFORMANCE, within(span) | {"provider": provider, "model": model})
    return [_performance(*row) for row in rows]


async def cost(clickhouse: ClickHouse, span: Range, *, plan: str) -> list[Cost]:
    """The most expensive model first."""
    rows = await clickhouse.query(_COST, within(span) | {"plan": plan})
    return [Cost(str(provider), str(model), *wholes(rest)) for provider, model, *rest in rows]


async def popular_models(clickhouse: ClickHouse, span: Range, *, limit: int) -> list[Popular]:
    """The model with the most requests first."""
    rows = await clickhouse.query(_POPULAR, within(span) | {"limit": limit})
    return [Popular(str(provider), str(model), *wholes(rest)) for provider, model, *rest in rows]


async def errors(clickhouse: ClickHouse, span: Range, *, provider: str, model: str) -> list[Errors]:
    """The most frequent error first."""
    rows = await clickhouse.query(_ERRORS, within(span) | {"provider": provider, "model": model})
    return [Errors(str(name), str(model), str(code), *wholes(rest)) for name, model, code, *rest in rows if rest[0]]


def _performance(provider: object, *figures: object) -> Performance:
    *counts, latencies, ttfts = figures
    requests, successes, with_ttft, tokens_out, latency_ms = wholes(counts)
    return Performance(
        provider=str(provider),
        requests=requests,
        successes=successes,
        with_ttft=with_ttft,
        tokens_out=tokens_out,
        latency_ms=latency_ms,
        latencies=wholes(cast("Row", latencies)),
        ttfts=wholes(cast("Row", ttfts)),
    )
