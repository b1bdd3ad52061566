"""One trace through what a process does for a call: statements, Redis, events."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from prometheus_client import REGISTRY
from sqlalchemy import Integer, Text, bindparam, column, select, table, text
from sqlalchemy.exc import DBAPIError

from svckit import events, postgres, redis_client, telemetry
from svckit.local import Engines
from svckit.statements import Statement
from tests.svckit.spans import attributes, is_below, recorded


def _calls(system: str, operation: str) -> float:
    labels = {"db_system_name": system, "db_operation_name": operation}
    return REGISTRY.get_sample_value("db_client_operation_duration_seconds_count", labels) or 0


async def test_a_statement_is_a_span_and_a_measurement_without_its_values(
    new_database: Callable[[], Awaitable[str]],
) -> None:
    # Nothing that goes on beside this test in its process begins a statement so, and the count is the process's.
    before = _calls("postgresql", "WITH")
    async with postgres.connected(await new_database(), name="traced") as database:
        with recorded() as spans, telemetry.span("work"):
            async with database.transaction() as session:
                named = text("WITH found AS (SELECT oid FROM pg_class WHERE relname = :name) SELECT oid FROM found")
                await session.execute(named, {"name": "hush hush"})
            with pytest.raises(DBAPIError):
                async with database.transaction() as session:
                    await session.execute(text("WITH found AS (SELECT nothing FROM pg_class) SELECT * FROM found"))
            async with database.direct() as driver:
                relation = select(column("oid", Integer)).select_from(table("pg_class"))
                found = relation.where(column("relname") == bindparam("name", type_=Text)).cte("found")
                await Statement(select(found)).rows(driver, {"name": "hush hush"})

    good, bad, direct = spans.of_kind(SpanKind.CLIENT)
    (work,) = spans.named("work")
    assert (good.name, bad.status.status_code) == ("WITH pg_class", StatusCode.ERROR)
    assert attributes(good)["db.system.name"] == "postgresql"
    assert str(attributes(good)["db.query.text"]).startswith("WITH found AS (SELECT oid FROM pg_class WHERE")
    assert (direct.name, attributes(direct).keys()) == (good.name, attributes(good).keys())
    assert is_below(good, work)
    assert is_below(direct, work)
    assert not any("hush" in span.to_json() for span in spans.all())
    assert _calls("postgresql", "WITH") == before + 3
    assert REGISTRY.get_sample_value("db_client_connections_max", {"pool": "traced"}) == 10


async def test_calls_of_redis_are_spans_without_keys_and_values(engines: Engines) -> None:
    async with redis_client.connected(engines.redis_url) as redis:
        with recorded() as spans, telemetry.span("work"):
            await redis.set("hush", "hush")
            async with redis.pipeline(transaction=True) as pipe:
                pipe.delete("hush")
                pipe.get("hush")
                await pipe.execute()

    assert [span.name for span in spans.of_kind(SpanKind.CLIENT)] == ["SET", "MULTI"]
    assert not any("hush" in span.to_json() for span in spans.all())


async def test_outside_of_any_trace_calls_leave_no_spans(engines: Engines) -> None:
    async with redis_client.connected(engines.redis_url) as redis:
        with recorded() as spans:
            await redis.get("nothing")

    assert spans.all() == ()


def test_a_batch_has_a_trace_of_its_own_with_a_link_to_each_event() -> None:
    with recorded() as spans:
        made = []
        for _ in range(2):
            with telemetry.span("request"):
                made.append(telemetry.outgoing())
        sent = [_event(traceparent) for traceparent in (*made, made[0], "nonsense")]
        with events.sending(sent, outbox="shop.outbox"):
            pass

    (batch,) = spans.of_kind(SpanKind.PRODUCER)
    assert batch.parent is None
    assert [_place(link.context) for link in batch.links] == [_place(each.context) for each in spans.named("request")]
    assert attributes(batch)["messaging.batch.message_count"] == 4


def test_what_is_raised_makes_a_failed_span_that_does_not_quote_it() -> None:
    with recorded() as spans, pytest.raises(ValueError, match="hush"), telemetry.span("work"):
        raise ValueError("hush")

    (span,) = spans.all()
    assert (attributes(span)["error.type"], span.status.status_code) == ("ValueError", StatusCode.ERROR)
    assert "hush" not in span.to_json()


def _event(traceparent: str) -> events.Event:
    return events.Event("e", "ev.shop.sold", "Sold", "shop", "ada", datetime.now(UTC), b"", traceparent)


def _place(context: SpanContext | None) -> tuple[int, int]:
    assert context is not None
    return context.trace_id, context.span_id
