-- People are counted by their pseudonyms, whether they are forgotten or not: else somebody who was forgotten, and of whom
-- events come late, would be two in the views that keep no ids. See forgetting.py.

CREATE MATERIALIZED VIEW IF NOT EXISTS active_15m_view TO active_15m AS
WITH if(startsWith(user_id, 'deleted-'), user_id, concat('deleted-', lower(hex(SHA256(user_id))))) AS person
SELECT toStartOfFifteenMinutes(ts) AS b, plan, uniqState(person) AS users
FROM events
WHERE type = 'chat.message.sent'
GROUP BY b, plan;

CREATE MATERIALIZED VIEW IF NOT EXISTS chat_15m_view TO chat_15m AS
WITH if(startsWith(user_id, 'deleted-'), user_id, concat('deleted-', lower(hex(SHA256(user_id))))) AS person
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
    uniqStateIf(person, type = 'chat.message.sent') AS users
FROM events
WHERE type IN (
    'chat.message.sent', 'chat.completion.succeeded', 'chat.completion.failed', 'chat.completion.cancelled',
    'chat.conversation.created'
)
GROUP BY plan, b;

CREATE MATERIALIZED VIEW IF NOT EXISTS model_15m_view TO model_15m AS
WITH if(startsWith(user_id, 'deleted-'), user_id, concat('deleted-', lower(hex(SHA256(user_id))))) AS person
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
    uniqState(person) AS users,
    sumIf(events.latency_ms, type = 'chat.completion.succeeded') AS latency_ms,
    groupArrayIf(toUInt32(events.latency_ms), type = 'chat.completion.succeeded') AS latencies,
    groupArrayIf(toUInt32(assumeNotNull(ttft_ms)), type = 'chat.completion.succeeded' AND ttft_ms IS NOT NULL) AS ttfts
FROM events
WHERE type IN ('chat.completion.succeeded', 'chat.completion.failed', 'chat.completion.cancelled')
GROUP BY provider, model, b, plan, type, error_code;

CREATE MATERIALIZED VIEW IF NOT EXISTS revenue_15m_view TO revenue_15m AS
WITH if(startsWith(user_id, 'deleted-'), user_id, concat('deleted-', lower(hex(SHA256(user_id))))) AS person
SELECT
    currency,
    plan,
    type,
    toStartOfFifteenMinutes(ts) AS b,
    count() AS n,
    sum(events.amount_minor) AS amount_minor,
    sum(events.tax_minor) AS tax_minor,
    uniqState(person) AS users
FROM events
WHERE type IN ('billing.payment.succeeded', 'billing.payment.failed', 'billing.payment.refunded')
GROUP BY currency, plan, type, b;
