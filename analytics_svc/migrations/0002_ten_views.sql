-- The views that the other reports read, and how long models took. A view that is made here is filled with what was
-- counted before; see schema.py.

-- Who used how much.
CREATE TABLE IF NOT EXISTS user_usage_15m (
    b DateTime('UTC'),
    user_id String,
    plan LowCardinality(String),
    messages SimpleAggregateFunction(sum, UInt64),
    tokens SimpleAggregateFunction(sum, Int64),
    cost_micros SimpleAggregateFunction(sum, Int64)
) ENGINE = AggregatingMergeTree
ORDER BY (b, user_id, plan)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS user_usage_15m_view TO user_usage_15m AS
SELECT
    toStartOfFifteenMinutes(ts) AS b,
    user_id,
    plan,
    countIf(type = 'chat.message.sent') AS messages,
    sum(events.tokens_in + events.tokens_out) AS tokens,
    sum(events.cost_micros) AS cost_micros
FROM events
WHERE type IN (
    'chat.message.sent', 'chat.completion.succeeded', 'chat.completion.failed', 'chat.completion.cancelled'
)
GROUP BY b, user_id, plan;

-- When somebody did something for the first time. What never happened is in the year 2200: 0 would be the least of all.
CREATE TABLE IF NOT EXISTS user_lifecycle (
    user_id String,
    registered SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    verified SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    first_message SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    first_paid SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    -- 1970: never.
    last_message SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
) ENGINE = AggregatingMergeTree
ORDER BY user_id
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS user_lifecycle_view TO user_lifecycle AS
WITH toDateTime64('2200-01-01 00:00:00', 3, 'UTC') AS never
SELECT
    user_id,
    min(if(type = 'auth.user.registered', ts, never)) AS registered,
    min(if(type = 'auth.user.verified', ts, never)) AS verified,
    min(if(type = 'chat.message.sent', ts, never)) AS first_message,
    min(if(type = 'billing.payment.succeeded', ts, never)) AS first_paid,
    max(if(type = 'chat.message.sent', ts, toDateTime64(0, 3, 'UTC'))) AS last_message
FROM events
WHERE type IN ('auth.user.registered', 'auth.user.verified', 'chat.message.sent', 'billing.payment.succeeded')
GROUP BY user_id;

-- A conversation as far as it was held under a plan; it begins with the first message.
CREATE TABLE IF NOT EXISTS conversations (
    conversation_id String,
    plan LowCardinality(String),
    began SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    ended SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    messages SimpleAggregateFunction(sum, UInt64),
    tokens SimpleAggregateFunction(sum, Int64)
) ENGINE = AggregatingMergeTree
ORDER BY (conversation_id, plan)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS conversations_view TO conversations AS
SELECT
    conversation_id,
    plan,
    min(if(type = 'chat.message.sent', ts, toDateTime64('2200-01-01 00:00:00', 3, 'UTC'))) AS began,
    max(ts) AS ended,
    countIf(type = 'chat.message.sent') AS messages,
    sum(events.tokens_in + events.tokens_out) AS tokens
FROM events
WHERE conversation_id != '' AND type IN (
    'chat.message.sent', 'chat.completion.succeeded', 'chat.completion.failed', 'chat.completion.cancelled'
)
GROUP BY conversation_id, plan;

-- What a subscription is now: of its events the latest, in whatever order they came.
CREATE TABLE IF NOT EXISTS subscription_state (
    subscription_id String,
    currency AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), UInt64)),
    plan AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), UInt64)),
    status AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), UInt64))
) ENGINE = AggregatingMergeTree
ORDER BY subscription_id
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS subscription_state_view TO subscription_state AS
SELECT
    subscription_id,
    argMaxState(toString(events.currency), (ts, seq)) AS currency,
    argMaxState(toString(events.plan), (ts, seq)) AS plan,
    argMaxState(toString(events.status), (ts, seq)) AS status
FROM events
WHERE type IN ('billing.subscription.created', 'billing.subscription.changed', 'billing.subscription.cancelled')
GROUP BY subscription_id;

-- Anew, with times: each of them, because in a quarter hour they are few. Sketches of them are larger, take longer to
-- merge, and are not exact.
DROP VIEW IF EXISTS model_15m_view;

DROP TABLE IF EXISTS model_15m;

CREATE TABLE IF NOT EXISTS model_15m (
    provider LowCardinality(String),
    model LowCardinality(String),
    b DateTime('UTC'),
    plan LowCardinality(String),
    -- chat.completion.succeeded, failed or cancelled.
    type LowCardinality(String),
    error_code LowCardinality(String),
    n SimpleAggregateFunction(sum, UInt64),
    tokens_in SimpleAggregateFunction(sum, Int64),
    tokens_out SimpleAggregateFunction(sum, Int64),
    cost_micros SimpleAggregateFunction(sum, Int64),
    users AggregateFunction(uniq, String),
    -- Milliseconds, of successes only; those to the first content only where there was one.
    latency_ms SimpleAggregateFunction(sum, Int64),
    latencies SimpleAggregateFunction(groupArrayArray, Array(UInt32)),
    ttfts SimpleAggregateFunction(groupArrayArray, Array(UInt32))
) ENGINE = AggregatingMergeTree
ORDER BY (provider, model, b, plan, type, error_code)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS model_15m_view TO model_15m AS
SELECT
    provider,
    model,
    toStartOfFifteenMinutes(ts) AS b,
    plan,
    type,
    error_code,
    count() AS n,
    sum(events.tokens_in) AS tokens_in,
    sum(events.tokens_out) AS tokens_out,
    sum(events.cost_micros) AS cost_micros,
    uniqState(user_id) AS users,
    sumIf(events.latency_ms, type = 'chat.completion.succeeded') AS latency_ms,
    groupArrayIf(toUInt32(events.latency_ms), type = 'chat.completion.succeeded') AS latencies,
    groupArrayIf(toUInt32(assumeNotNull(ttft_ms)), type = 'chat.completion.succeeded' AND ttft_ms IS NOT NULL) AS ttfts
FROM events
WHERE type IN ('chat.completion.succeeded', 'chat.completion.failed', 'chat.completion.cancelled')
GROUP BY provider, model, b, plan, type, error_code;
