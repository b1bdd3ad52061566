-- Events number `first` to `first + count` of `events`, spread over the year 2025. Of twenty that follow one another, most
-- are one conversation within twelve minutes: nine messages and their answers, from one of so many people as there are
-- hundreds of events. The first is what happened besides: a registration, a payment, a change of subscription.
INSERT INTO events (
    event_id, type, ts, seq, batch, user_id, plan, conversation_id, provider, model, error_code, tokens_in, tokens_out,
    cost_micros, latency_ms, ttft_ms, subscription_id, currency, amount_minor, tax_minor, mrr_after_minor, status
)
WITH
    number AS i,
    i % 20 AS place,
    intDiv(i, 20) AS conversation,
    greatest(intDiv({events:UInt64}, 100), 1) AS people,
    if(place < 2 AND conversation < people, conversation, sipHash64(conversation) % people) AS person,
    sipHash64(i, 1) AS chance,
    multiIf(
        place = 0 AND conversation < people, 'auth.user.registered',
        place = 1 AND conversation < people, 'auth.user.verified',
        place = 0 AND chance % 10 = 0, 'billing.payment.succeeded',
        place = 0 AND chance % 100 = 1, 'billing.payment.refunded',
        place = 0 AND chance % 20 = 2, 'billing.subscription.changed',
        place = 0, 'chat.conversation.created',
        place % 2 = 1, 'chat.message.sent',
        chance % 50 = 0, 'chat.completion.failed',
        chance % 70 = 0, 'chat.completion.cancelled',
        'chat.completion.succeeded'
    ) AS kind,
    startsWith(kind, 'chat.completion') AS answers,
    startsWith(kind, 'billing.payment') AS pays,
    kind = 'billing.subscription.changed' AS subscribes
SELECT
    concat('event-', toString(i)),
    kind,
    toDateTime64('2025-01-01 00:00:00', 3, 'UTC')
        + toIntervalSecond(sipHash64(conversation) % (365 * 86400 - 740) + place * 37),
    i,
    'bench',
    concat('01936417-5ad4-7c0e-9d8b-', leftPad(toString(person), 12, '0')),
    ['free', 'pro', 'team'][person % 3 + 1],
    if(startsWith(kind, 'chat.'), concat('0193641e-91f4-7f37-8a55-', leftPad(toString(conversation), 12, '0')), ''),
    if(answers, ['openai', 'anthropic', 'google', 'local'][chance % 4 + 1], ''),
    if(answers, concat('model-', toString(chance % 12)), ''),
    if(kind = 'chat.completion.failed', ['rate_limited', 'stream_truncated', 'provider_timeout'][chance % 3 + 1], ''),
    if(answers, 300 + chance % 1000, 0),
    if(answers, 50 + chance % 500, 0),
    if(answers, 100 + chance % 5000, 0),
    if(answers, toInt64(exp(5 + chance % 4000 / 1000)), 0),
    if(answers, toInt64(exp(3 + chance % 3000 / 1000)), NULL),
    if(subscribes, concat('subscription-', toString(person)), ''),
    if(pays OR subscribes, ['usd', 'usd', 'eur'][person % 3 + 1], ''),
    if(pays, 2400, 0),
    if(pays, 400, 0),
    if(subscribes, [0, 2000, 5000][chance % 7 % 3 + 1], 0),
    if(subscribes, 'active', '')
FROM numbers({first:UInt64}, {count:UInt64})
