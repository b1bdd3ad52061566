-- What each report says, asked of the raw events of 2025 in the plainest SQL. Zones and filters are left out: they would
-- only add to it.

-- GetUserGrowth
SELECT toDate(ts) AS day, countIf(type = 'auth.user.registered'), countIf(type = 'auth.user.deleted')
FROM events WHERE type IN ('auth.user.registered', 'auth.user.deleted') GROUP BY day ORDER BY day;

-- GetActiveUsers
SELECT toDate(ts) AS day, uniq(user_id) FROM events WHERE type = 'chat.message.sent' GROUP BY day ORDER BY day;

-- GetSignups
SELECT toDate(ts) AS day, countIf(type = 'auth.user.registered'), countIf(type = 'auth.user.verified')
FROM events WHERE type IN ('auth.user.registered', 'auth.user.verified') GROUP BY day ORDER BY day;

-- GetTopUsers
SELECT user_id, countIf(type = 'chat.message.sent'), sum(tokens_in + tokens_out) AS used, sum(cost_micros), max(ts)
FROM events WHERE type LIKE 'chat.%' GROUP BY user_id ORDER BY used DESC LIMIT 10;

-- GetChatActivity
SELECT toDate(ts) AS day, countIf(type = 'chat.message.sent'), countIf(type = 'chat.completion.succeeded'),
    countIf(type = 'chat.completion.failed'), countIf(type = 'chat.conversation.created'),
    uniqIf(user_id, type = 'chat.message.sent')
FROM events WHERE type LIKE 'chat.%' GROUP BY day ORDER BY day;

-- GetTokens
SELECT plan, sum(tokens_in), sum(tokens_out) FROM events WHERE type LIKE 'chat.completion.%' GROUP BY plan;

-- GetChatByProvider
SELECT provider, count() FROM events WHERE type = 'chat.completion.succeeded' GROUP BY provider;

-- GetChatByModel
SELECT provider, model, count() FROM events WHERE type = 'chat.completion.succeeded' GROUP BY provider, model;

-- GetRevenueTotal
SELECT sumIf(amount_minor, type = 'billing.payment.succeeded'), sumIf(amount_minor, type = 'billing.payment.refunded'),
    sum(tax_minor), uniqIf(user_id, type = 'billing.payment.succeeded')
FROM events WHERE type LIKE 'billing.payment.%' AND currency = 'usd';

-- GetMrr
SELECT sum(mrr), countIf(mrr > 0) FROM (
    SELECT argMax(mrr_after_minor, (ts, seq)) AS mrr FROM events
    WHERE type LIKE 'billing.subscription.%' AND currency = 'usd' GROUP BY user_id
);

-- GetRevenueOverTime
SELECT toDate(ts) AS day, sumIf(amount_minor, type = 'billing.payment.succeeded'),
    sumIf(amount_minor, type = 'billing.payment.refunded'), sum(tax_minor)
FROM events WHERE type LIKE 'billing.payment.%' AND currency = 'usd' GROUP BY day ORDER BY day;

-- GetRevenueByPlan
SELECT plan, sumIf(amount_minor, type = 'billing.payment.succeeded'),
    sumIf(amount_minor, type = 'billing.payment.refunded')
FROM events WHERE type LIKE 'billing.payment.%' AND currency = 'usd' GROUP BY plan;

-- GetLtv
SELECT sum(mrr), countIf(mrr > 0) FROM (
    SELECT argMax(mrr_after_minor, (ts, seq)) AS mrr FROM events
    WHERE type LIKE 'billing.subscription.%' AND currency = 'usd' GROUP BY user_id
);

-- GetProviderUsage
SELECT provider, count(), sum(tokens_in), sum(tokens_out), uniq(user_id)
FROM events WHERE type LIKE 'chat.completion.%' GROUP BY provider;

-- GetProviderPerformance
SELECT provider, count(), quantilesExactIf(0.5, 0.95, 0.99)(latency_ms, type = 'chat.completion.succeeded'),
    quantilesExactIf(0.5, 0.95)(ttft_ms, type = 'chat.completion.succeeded'), sum(tokens_out), sum(latency_ms)
FROM events WHERE type LIKE 'chat.completion.%' GROUP BY provider;

-- GetProviderCost
SELECT provider, model, sum(cost_micros), count() FROM events WHERE type LIKE 'chat.completion.%' GROUP BY provider, model;

-- GetPopularModels
SELECT provider, model, count() AS requests, uniq(user_id)
FROM events WHERE type LIKE 'chat.completion.%' GROUP BY provider, model ORDER BY requests DESC LIMIT 10;

-- GetRetention
SELECT cohort, week, count() FROM (
    SELECT user_id, toMonday(ts) AS week FROM events WHERE type = 'chat.message.sent' GROUP BY user_id, week
) AS active INNER JOIN (
    SELECT user_id, toMonday(min(ts)) AS cohort FROM events WHERE type = 'auth.user.registered' GROUP BY user_id
) AS people USING user_id GROUP BY cohort, week;

-- GetStickiness
SELECT toDate(ts) AS day, uniq(user_id) FROM events
WHERE type = 'chat.message.sent' AND ts >= '2025-12-02 00:00:00' GROUP BY day;

-- GetFunnel
SELECT countIf(registered), countIf(verified), countIf(sent), countIf(paid) FROM (
    SELECT countIf(type = 'auth.user.registered') > 0 AS registered, countIf(type = 'auth.user.verified') > 0 AS verified,
        countIf(type = 'chat.message.sent') > 0 AS sent, countIf(type = 'billing.payment.succeeded') > 0 AS paid
    FROM events GROUP BY user_id
);

-- GetConversationStats
SELECT count(), avg(messages), median(messages), max(messages), avg(lasted) FROM (
    SELECT countIf(type = 'chat.message.sent') AS messages, max(ts) - min(ts) AS lasted
    FROM events WHERE conversation_id != '' GROUP BY conversation_id
);

-- GetChurn
SELECT countIf(before > 0), countIf(now > 0), sum(before), sum(now) FROM (
    SELECT argMaxIf(mrr_after_minor, (ts, seq), ts < '2025-07-01 00:00:00') AS before,
        argMax(mrr_after_minor, (ts, seq)) AS now
    FROM events WHERE type LIKE 'billing.subscription.%' AND currency = 'usd' GROUP BY user_id
);

-- GetMrrMovements
SELECT toDate(ts) AS day, sum(after - before) FROM (
    SELECT ts, mrr_after_minor AS after, lagInFrame(mrr_after_minor) OVER (
        PARTITION BY user_id ORDER BY ts, seq ROWS BETWEEN 1 PRECEDING AND CURRENT ROW
    ) AS before
    FROM events WHERE type LIKE 'billing.subscription.%' AND currency = 'usd'
) GROUP BY day ORDER BY day;

-- GetMargin
SELECT plan, sumIf(amount_minor, type = 'billing.payment.succeeded'), sum(cost_micros) FROM events GROUP BY plan;

-- GetProviderErrors
SELECT provider, model, error_code, countIf(type = 'chat.completion.failed') AS errors, count()
FROM events WHERE type LIKE 'chat.completion.%' GROUP BY provider, model, error_code ORDER BY errors DESC;

-- GetOverview
SELECT uniqIf(user_id, type = 'chat.message.sent'), countIf(type = 'chat.message.sent'), sum(cost_micros)
FROM events WHERE ts >= '2025-12-31 00:00:00';
