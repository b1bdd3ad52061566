"""What the queries share: how a span and its buckets are put, and how figures are taken out of a row."""

from typing import cast

from analytics_svc.clickhouse import Row
from analytics_svc.ranges import Range

WITHIN = "b >= toDateTime({start:Int64}, 'UTC') AND b < toDateTime({end:Int64}, 'UTC')"
OF_PLAN = "({plan:String} = '' OR plan = {plan:String})"
OF_MODEL = (
    "({provider:String} = '' OR provider = {provider:String}) AND ({model:String} = '' OR model = {model:String})"
)


def bucket_of(column: str) -> str:
    """The start of the bucket that a time falls into, in Unix seconds; `bucketed` binds what it needs."""
    return f"roundDown(toInt64(toUnixTimestamp({column})), {{starts:Array(Int64)}})"


def within(span: Range) -> dict[str, object]:
    return {"start": int(span.start.timestamp()), "end": int(span.end.timestamp())}


def bucketed(span: Range) -> dict[str, object]:
    return {**within(span), "starts": [bucket.unix for bucket in span.buckets]}


def wholes(values: Row) -> list[int]:
    return [whole(value) for value in values]


def whole(value: object) -> int:
    """A count or an amount; ClickHouse says null for the sum of nothing."""
    return int(cast("int | None", value) or 0)
