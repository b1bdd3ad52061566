"""The reports, asked for over gRPC, about facts that came through NATS. Each test has days of its own."""

from datetime import UTC, date, datetime, timedelta

from svckit.events import Bus
from tests.analytics_svc import facts
from tests.analytics_svc.analyst import Analytics, days, eventually, values


async def test_a_sign_up_is_counted(bus: Bus, analytics: Analytics) -> None:
    day = date(2025, 1, 10)

    await bus.publish(facts.registered("2025-01-10T12:00"))

    async def signups() -> int:
        return (await analytics.signups(**days(day))).data[0].signups

    await eventually(signups, 1)


async def test_every_bucket_is_there_and_empty_ones_are_zero(bus: Bus, analytics: Analytics) -> None:
    for event in (facts.registered("2025-02-02T00:00"), facts.verified("2025-02-02T23:59:59.999")):
        await bus.publish(event)

    async def rows() -> list[tuple[str, int, int]]:
        response = await analytics.signups(**days(date(2025, 2, 1), date(2025, 2, 3)))
        return [(row.date, row.signups, row.verified) for row in response.data]

    await eventually(rows, [("2025-02-01", 0, 0), ("2025-02-02", 1, 1), ("2025-02-03", 0, 0)])


async def test_growth_adds_up_from_the_beginning(bus: Bus, analytics: Analytics) -> None:
    before = (await analytics.growth(**days(date(2024, 3, 1)))).data[0].total_users
    moments = ["2024-02-29T10:00", "2024-03-01T10:00", "2024-03-01T11:00", "2024-03-03T10:00"]
    for event in (*map(facts.registered, moments), facts.deleted("2024-03-02T10:00")):
        await bus.publish(event)

    async def rows() -> list[tuple[int, int, int]]:
        response = await analytics.growth(**days(date(2024, 3, 1), date(2024, 3, 3)))
        return [(row.new_users, row.deleted_users, row.total_users - before) for row in response.data]

    await eventually(rows, [(2, 0, 3), (0, 1, 2), (1, 0, 3)])


async def test_active_are_those_who_sent_a_message_each_counted_once_a_bucket(bus: Bus, analytics: Analytics) -> None:
    for hour, user, plan in ((9, "ada", "free"), (15, "ada", "free"), (9, "bob", "pro"), (9, "eve", "pro")):
        await bus.publish(facts.message(f"2025-03-01T{hour:02}:00", user=user, plan=plan))
    await bus.publish(facts.message("2025-03-02T09:00", user="ada"))
    await bus.publish(facts.registered("2025-03-02T09:00", user="new"))
    span = days(date(2025, 3, 1), date(2025, 3, 2))

    async def counts(**request: str) -> list[int]:
        return [row.active_users for row in (await analytics.active(**span, **request)).data]

    await eventually(counts, [3, 1])
    assert await counts(plan="pro") == [2, 0]
    # 1 March is a Saturday.
    assert await counts(interval="week") == [3]
    assert await counts(interval="month") == [3]


async def test_chat_activity_tells_messages_answers_failures_and_conversations(bus: Bus, analytics: Analytics) -> None:
    day = date(2025, 4, 1)
    for event in (
        facts.conversation("2025-04-01T08:00"),
        facts.message("2025-04-01T08:01"),
        facts.message("2025-04-01T08:02", user="bob", plan="pro"),
        facts.answer("2025-04-01T08:03"),
        facts.failure("2025-04-01T08:04", plan="pro"),
    ):
        await bus.publish(event)

    async def first(**request: str) -> dict[str, int]:
        return values((await analytics.chat(**days(day), **request)).data[0])

    everything = {"messages": 2, "completions": 1, "failures": 1, "conversations": 1, "active_users": 2}
    await eventually(first, everything)
    of_pro = {"messages": 1, "completions": 0, "failures": 1, "conversations": 0, "active_users": 1}
    assert await first(plan="pro") == of_pro


async def test_providers_share_the_answers(bus: Bus, analytics: Analytics) -> None:
    for provider, count in (("openai", 4), ("local", 2)):
        for _ in range(count):
            await bus.publish(facts.answer("2025-05-01T10:00", provider=provider))
    await bus.publish(facts.failure("2025-05-01T10:00"))
    span = days(date(2025, 5, 1))

    async def shares() -> list[tuple[str, int, float]]:
        return [(row.provider, row.messages, row.share) for row in (await analytics.by_provider(**span)).data]

    await eventually(shares, [("openai", 4, 0.6667), ("local", 2, 0.3333)])


async def test_no_answers_are_no_rows(analytics: Analytics) -> None:
    response = await analytics.by_provider(**days(date(2001, 1, 1)))

    assert not response.data


async def test_a_day_is_the_viewers_day(bus: Bus, analytics: Analytics) -> None:
    # Midnight in Kathmandu is 18:15 UTC.
    for moment in ("2025-06-09T18:14:59.999", "2025-06-09T18:15", "2025-06-10T18:14:59.999", "2025-06-10T18:15"):
        await bus.publish(facts.message(moment))
    span = days(date(2025, 6, 9), date(2025, 6, 11))

    async def counts(zone: str) -> list[int]:
        return [row.messages for row in (await analytics.chat(**span, timezone=zone)).data]

    await eventually(lambda: counts("UTC"), [2, 2, 0])
    assert await counts("Asia/Kathmandu") == [1, 2, 1]


async def test_the_hour_that_clocks_show_twice_is_two_buckets(bus: Bus, analytics: Analytics) -> None:
    # New York went back from EDT to EST on 2 November 2025 at 06:00 UTC.
    for moment in ("2025-11-02T05:30", "2025-11-02T06:30", "2025-11-02T06:45"):
        await bus.publish(facts.message(moment))

    async def hours() -> dict[str, int]:
        response = await analytics.chat(**days(date(2025, 11, 2)), interval="hour", timezone="America/New_York")
        assert len(response.data) == 25
        return {row.date: row.messages for row in response.data if row.messages}

    await eventually(hours, {"2025-11-02T01:00:00-04:00": 1, "2025-11-02T01:00:00-05:00": 2})


async def test_instants_are_half_open(bus: Bus, analytics: Analytics) -> None:
    for moment in ("2025-07-01T09:59", "2025-07-01T10:00", "2025-07-01T10:59", "2025-07-01T11:00"):
        await bus.publish(facts.message(moment))

    async def messages(start: str, end: str) -> int:
        response = await analytics.chat(start_date=start, end_date=end)
        return sum(row.messages for row in response.data)

    await eventually(lambda: messages("2025-07-01T10:00:00Z", "2025-07-01T11:00:00Z"), 2)
    await eventually(lambda: messages("2025-07-01T12:00:00+02:00", "2025-07-01T13:15:00+02:00"), 3)


async def test_meta_says_what_was_used(bus: Bus, analytics: Analytics) -> None:
    await bus.publish(facts.registered("2025-08-01T10:00"))

    async def through() -> bool:
        meta = (await analytics.signups()).meta
        return meta.HasField("data_through") and meta.data_through.ToDatetime(UTC) >= facts.at("2025-08-01T10:00")

    await eventually(through, True)
    response = await analytics.signups(timezone="Asia/Tokyo")
    meta = response.meta
    first, last = date.fromisoformat(meta.start_date), date.fromisoformat(meta.end_date)
    assert (meta.timezone, meta.interval, meta.currency, meta.approximate) == ("Asia/Tokyo", "day", "", False)
    assert last - first == timedelta(days=29)
    assert len(response.data) == 30
    assert meta.generated_at.ToDatetime(UTC) <= datetime.now(UTC) + timedelta(minutes=1)


async def test_the_overview_looks_back_from_a_moment(bus: Bus, analytics: Analytics) -> None:
    lately = ("active_users_last5m", "active_users_last30m", "messages_last30m", "errors_last30m")
    for event in (
        facts.registered("2025-09-01T00:10"),
        facts.message("2025-09-01T11:20", user="too-early"),
        facts.message("2025-09-01T11:45", user="bob"),
        facts.message("2025-09-01T11:56", user="ada"),
        facts.message("2025-09-01T11:57", user="ada"),
        facts.answer("2025-09-01T11:57", cost_micros=1234),
        facts.failure("2025-09-01T11:58"),
        facts.payment("2025-09-01T09:00", 2000),
        facts.payment("2025-09-01T09:00", 9999, currency="EUR"),
    ):
        await bus.publish(event)

    async def overview() -> dict[str, int]:
        data = (await analytics.overview(as_of="2025-09-01T12:00:00Z")).data
        return values(data.today) | {name: values(data)[name] for name in lately}

    await eventually(
        overview,
        {
            "signups": 1,
            "messages": 4,
            "completions": 1,
            "failures": 1,
            "cost_micros": 1234,
            "gross_minor": 2000,
            "active_users_last5m": 1,
            "active_users_last30m": 2,
            "messages_last30m": 3,
            "errors_last30m": 1,
        },
    )


async def test_mrr_is_what_the_last_change_of_each_customer_left(bus: Bus, analytics: Analytics) -> None:
    for event in (
        facts.mrr_change("2023-01-02T10:00", "ada", 2000, 5000),
        # Came late: it was before.
        facts.mrr_change("2023-01-01T10:00", "ada", 0, 2000),
        facts.mrr_change("2023-01-01T10:00", "bob", 0, 2000),
        facts.mrr_change("2023-01-03T10:00", "bob", 2000, 0),
        facts.mrr_change("2023-01-01T10:00", "eve", 0, 1900, currency="EUR"),
    ):
        await bus.publish(event)

    async def mrr(as_of: str) -> tuple[int, int]:
        data = (await analytics.overview(as_of=as_of)).data
        return data.mrr_minor, data.active_subscribers

    await eventually(lambda: mrr("2023-01-04T00:00:00Z"), (5000, 1))
    assert await mrr("2023-01-02T09:00:00Z") == (4000, 2)
    assert await mrr("2022-12-31T00:00:00Z") == (0, 0)


async def test_nothing_waits_when_all_is_counted(bus: Bus, analytics: Analytics) -> None:
    await bus.publish(facts.message("2025-10-01T10:00"))

    async def all_counted() -> bool:
        data = (await analytics.overview()).data
        assert data.HasField("ingest_lag_seconds") == data.HasField("backlog_events")
        return data.HasField("backlog_events") and (data.ingest_lag_seconds, data.backlog_events) == (0, 0)

    await eventually(all_counted, True)
