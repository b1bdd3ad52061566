"""Reports on conversations."""
# ruff: noqa: S608 - queries are put together from texts of these files only; values are bound

from typing import NamedTuple

from analytics_svc.clickhouse import ClickHouse
from analytics_svc.ranges import Range
from analytics_svc.store.spans import OF_PLAN, WITHIN, bucket_of, bucketed, whole, wholes, within

_ACTIVITY = f"""
SELECT {bucket_of("b")} AS bucket, sum(messages), sum(completions), sum(failures), sum(conversations), uniqMerge(users)
FROM chat_15m WHERE {WITHIN} AND {OF_PLAN} GROUP BY bucket
"""

_TOKENS = f"""
SELECT plan, sum(chat_15m.tokens_in) AS tokens_in, sum(chat_15m.tokens_out) AS tokens_out
FROM chat_15m WHERE {WITHIN} AND {OF_PLAN}
GROUP BY plan HAVING tokens_in + tokens_out > 0 ORDER BY tokens_in + tokens_out DESC, plan
"""

_BY_MODEL = f"""
SELECT provider, model, sum(n) AS answers FROM model_15m
WHERE type = 'chat.completion.succeeded' AND {WITHIN} AND {OF_PLAN}
    AND ({{provider:String}} = '' OR provider = {{provider:String}})
GROUP BY provider, model ORDER BY answers DESC, provider, model
"""

_BY_PROVIDER = f"""
SELECT provider, sum(n) AS answers FROM model_15m
WHERE type = 'chat.completion.succeeded' AND {WITHIN} AND {OF_PLAN}
GROUP BY provider ORDER BY answers DESC, provider
"""

# What has no message has not begun: `began` is in the year 2200.
_CONVERSATIONS = f"""
SELECT count(), sum(sent), quantileExactInclusive(0.5)(sent), max(sent), sum(dateDiff('millisecond', start, last)),
    sum(used)
FROM (
    SELECT min(began) AS start, max(ended) AS last, sum(messages) AS sent, sum(tokens) AS used
    FROM conversations WHERE {OF_PLAN} GROUP BY conversation_id
    HAVING start >= toDateTime({{start:Int64}}, 'UTC') AND start < toDateTime({{end:Int64}}, 'UTC')
)
"""


class Activity(NamedTuple):
    """What happened in conversations in one bucket."""

    messages: int = 0
    completions: int = 0
    failures: int = 0
    conversations: int = 0
    active_users: int = 0


class Conversations(NamedTuple):
    """What conversations come to together; `median` is of messages, None where there are no conversations."""

    conversations: int
    messages: int
    median: float | None
    longest: int
    milliseconds: int
    tokens: int


async def activity(clickhouse: ClickHouse, span: Range, *, plan: str) -> dict[int, Activity]:
    """By the bucket's start in Unix seconds; buckets where nothing happened are left out."""
    rows = await clickhouse.query(_ACTIVITY, bucketed(span) | {"plan": plan})
    return {whole(start): Activity(*wholes(rest)) for start, *rest in rows}


async def tokens_by_plan(clickhouse: ClickHouse, span: Range, *, plan: str) -> list[tuple[str, int, int]]:
    """Plan, input and output, the plan with the most first."""
    rows = await clickhouse.query(_TOKENS, within(span) | {"plan": plan})
    return [(str(name), whole(tokens_in), whole(tokens_out)) for name, tokens_in, tokens_out in rows]


async def answers_by_provider(clickhouse: ClickHouse, span: Range, *, plan: str) -> list[tuple[str, int]]:
    """The provider with the most answers first."""
    rows = await clickhouse.query(_BY_PROVIDER, within(span) | {"plan": plan})
    return [(str(provider), whole(answers)) for provider, answers in rows]


async def answers_by_model(
    clickhouse: ClickHouse, span: Range, *, plan: str, provider: str
) -> list[tuple[str, str, int]]:
    """Provider, model and answers, the model with the most first."""
    rows = await clickhouse.query(_BY_MODEL, within(span) | {"plan": plan, "provider": provider})
    return [(str(provider), str(model), whole(answers)) for provider, model, answers in rows]


async def conversations(clickhouse: ClickHouse, span: Range, *, plan: str) -> Conversations:
    """Those that began in the span, with all that was said in them since."""
    [(count, messages, median, *rest)] = await clickhouse.query(_CONVERSATIONS, within(span) | {"plan": plan})
    exact = float(str(median)) if count else None
    return Conversations(whole(count), whole(messages), exact, *wholes(rest))
