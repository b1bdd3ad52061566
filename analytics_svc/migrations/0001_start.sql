-- Raw events, and the views that the first reports read. A bucket is 15 minutes of UTC, because every zone's midnight
-- falls on a quarter of an hour. Statements must bear to be run again: ClickHouse has no transaction around them.

CREATE TABLE IF NOT EXISTS events (
    event_id String,
    -- The NATS subject without "ev.", such as chat.message.sent.
    type LowCardinality(String),
    ts DateTime64(3, 'UTC'),
    -- Place in the stream, and the insert that brought the row.
    seq UInt64,
    batch String,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    user_id String,
    plan LowCardinality(String),
    conversation_id String,
    provider LowCardinality(String),
    model LowCardinality(String),
    error_code LowCardinality(String),
    tokens_in Int64,
    tokens_out Int64,
    cost_micros Int64,
    latency_ms Int64,
    -- Null: there was no content to wait for.
    ttft_ms Nullable(Int64),
    subscription_id String,
    currency LowCardinality(String),
    amount_minor Int64,
    tax_minor Int64,
    mrr_before_minor Int64,
    mrr_after_minor Int64,
    plan_before LowCardinality(String),
    plan_after LowCardinality(String),
    status LowCardinality(String),
    reason LowCardinality(String)
) ENGINE = ReplacingMergeTree(ingested_at)
PARTITION BY toYYYYMM(ts)
ORDER BY (type, toStartOfHour(ts), event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS users_15m (
    type LowCardinality(String),
    b DateTime('UTC'),
    n SimpleAggregateFunction(sum, UInt64)
) ENGINE = AggregatingMergeTree
ORDER BY (type, b)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS users_15m_view TO users_15m AS
SELECT type, toStartOfFifteenMinutes(ts) AS b, count() AS n
FROM events
WHERE type IN ('auth.user.registered', 'auth.user.verified', 'auth.user.deleted')
GROUP BY type, b;

CREATE TABLE IF NOT EXISTS active_15m (
    b DateTime('UTC'),
    plan LowCardinality(String),
    users AggregateFunction(uniq, String)
) ENGINE = AggregatingMergeTree
ORDER BY (b, plan)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS active_15m_view TO active_15m AS
SELECT toStartOfFifteenMinutes(ts) AS b, plan, uniqState(user_id) AS users
FROM events
WHERE type = 'chat.message.sent'
GROUP BY b, plan;

CREATE TABLE IF NOT EXISTS chat_15m (
    plan LowCardinality(String),
    b DateTime('UTC'),
    messages SimpleAggregateFunction(sum, UInt64),
    completions SimpleAggregateFunction(sum, UInt64),
    failures SimpleAggregateFunction(sum, UInt64),
    conversations SimpleAggregateFunction(sum, UInt64),
    tokens_in SimpleAggregateFunction(sum, Int64),
    tokens_out SimpleAggregateFunction(sum, Int64),
    cost_micros SimpleAggregateFunction(sum, Int64),
    users AggregateFunction(uniq, String)
) ENGINE = AggregatingMergeTree
ORDER BY (plan, b)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS chat_15m_view TO chat_15m AS
SELECT
    plan,
    toStartOfFifteenMinutes(ts) AS b,
    countIf(type = 'chat.message.sent') AS messages,
    countIf(type = 'chat.completion.succeeded') AS completions,
    countIf(type = 'chat.completion.failed') AS failures,
    countIf(type = 'chat.conversation.created') AS conversations,
    sum(events.tokens_in) AS tokens_in,
    sum(events.tokens_out) AS tokens_out,
    sum(events.cost_micros) AS cost_micros,
    uniqStateIf(user_id, type = 'chat.message.sent') AS users
FROM events
WHERE type IN (
    'chat.message.sent', 'chat.completion.succeeded', 'chat.completion.failed', 'chat.completion.cancelled',
    'chat.conversation.created'
)
GROUP BY plan, b;

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
    users AggregateFunction(uniq, String)
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
    uniqState(user_id) AS users
FROM events
WHERE type IN ('chat.completion.succeeded', 'chat.completion.failed', 'chat.completion.cancelled')
GROUP BY provider, model, b, plan, type, error_code;

CREATE TABLE IF NOT EXISTS revenue_15m (
    currency LowCardinality(String),
    plan LowCardinality(String),
    -- billing.payment.succeeded, failed or refunded.
    type LowCardinality(String),
    b DateTime('UTC'),
    n SimpleAggregateFunction(sum, UInt64),
    amount_minor SimpleAggregateFunction(sum, Int64),
    tax_minor SimpleAggregateFunction(sum, Int64),
    users AggregateFunction(uniq, String)
) ENGINE = AggregatingMergeTree
ORDER BY (currency, plan, type, b)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS revenue_15m_view TO revenue_15m AS
SELECT
    currency,
    plan,
    type,
    toStartOfFifteenMinutes(ts) AS b,
    count() AS n,
    sum(events.amount_minor) AS amount_minor,
    sum(events.tax_minor) AS tax_minor,
    uniqState(user_id) AS users
FROM events
WHERE type IN ('billing.payment.succeeded', 'billing.payment.failed', 'billing.payment.refunded')
GROUP BY currency, plan, type, b;

-- The change log of MRR. What moved it is computed from here when it is asked for: an event that comes late would make
-- any running total wrong. Read with FINAL.
CREATE TABLE IF NOT EXISTS mrr_changes (
    currency LowCardinality(String),
    user_id String,
    ts DateTime64(3, 'UTC'),
    event_id String,
    seq UInt64,
    type LowCardinality(String),
    subscription_id String,
    plan LowCardinality(String),
    status LowCardinality(String),
    mrr_before_minor Int64,
    mrr_after_minor Int64
) ENGINE = ReplacingMergeTree
ORDER BY (currency, user_id, ts, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS mrr_changes_view TO mrr_changes AS
SELECT
    currency, user_id, ts, event_id, seq, type, subscription_id, plan, status, mrr_before_minor, mrr_after_minor
FROM events
WHERE type IN ('billing.subscription.created', 'billing.subscription.changed', 'billing.subscription.cancelled');
