"""Reports on people, computed from the facts."""

from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction

from chatmesh.events.v1 import events_pb2 as pb

from tests.analytics_svc.agreement.asked import Asked
from tests.analytics_svc.agreement.computing import ANSWERS, Facts, Row, by_bucket, grouped, of, people, ratio


def GetUserGrowth(facts: Facts, asked: Asked) -> list[Row]:
    came, went = of(facts, pb.UserRegistered), of(facts, pb.UserDeleted)
    total = sum(fact.time < asked.start for fact in came) - sum(fact.time < asked.start for fact in went)
    rows = []
    gone = by_bucket(asked, asked.chosen(went))
    for label, bucket in by_bucket(asked, asked.chosen(came)).items():
        total += len(bucket) - len(gone[label])
        rows.append({"date": label, "new_users": len(bucket), "deleted_users": len(gone[label]), "total_users": total})
    return rows


def GetActiveUsers(facts: Facts, asked: Asked) -> list[Row]:
    buckets = by_bucket(asked, asked.chosen(of(facts, pb.MessageSent)))
    return [{"date": label, "active_users": len(people(bucket))} for label, bucket in buckets.items()]


def GetSignups(facts: Facts, asked: Asked) -> list[Row]:
    buckets = by_bucket(asked, asked.chosen(of(facts, pb.UserRegistered, pb.UserVerified)))
    return [
        {"date": label, "signups": len(of(bucket, pb.UserRegistered)), "verified": len(of(bucket, pb.UserVerified))}
        for label, bucket in buckets.items()
    ]


def GetTopUsers(facts: Facts, asked: Asked, shown: Callable[[str], str] = str) -> list[Row]:
    """`shown` is how the id of a person is shown."""
    chosen = asked.chosen(of(facts, pb.MessageSent, *ANSWERS))
    last = {fact.message.user_id: fact.time for fact in of(facts, pb.MessageSent)}  # type: ignore[attr-defined]
    rows: list[Row] = []
    for (user,), messages in grouped(chosen, "user_id").items():
        usages = [message.usage for message in messages if isinstance(message, ANSWERS)]
        rows.append(
            {
                "user_id": shown(user),
                "messages": len(messages) - len(usages),
                "tokens": sum(usage.tokens_in + usage.tokens_out for usage in usages),
                "cost_micros": sum(usage.cost_micros for usage in usages),
                "last_active_at": last.get(user),
            }
        )
    by = {"": "tokens", "tokens": "tokens", "messages": "messages", "cost": "cost_micros"}[
        str(asked.only.get("by", ""))
    ]
    rows.sort(key=lambda row: (-row[by], row["user_id"]))
    return [row for row in rows if row[by]][: int(asked.only.get("limit", 10))]


def GetRetention(facts: Facts, asked: Asked) -> list[Row]:
    labels = asked.labels
    cohorts = by_bucket(asked, asked.chosen(of(facts, pb.UserRegistered)))
    active = by_bucket(asked, asked.chosen(of(facts, pb.MessageSent)))
    rows = []
    for number, (label, cohort) in enumerate(cohorts.items()):
        back = [len(people(cohort) & people(active[later])) for later in labels[number:]]
        values = [
            {"period": period, "users": users, "rate": ratio(users, len(cohort))} for period, users in enumerate(back)
        ]
        rows.append({"cohort": label, "size": len(cohort), "values": values})
    return rows


def GetStickiness(facts: Facts, asked: Asked) -> Row:
    last = (asked.end - timedelta(microseconds=1)).astimezone(asked.start.tzinfo)
    day = datetime.fromisoformat(Asked(asked.first, asked.last, asked.zone).label(last)).date()
    daily = Asked(day - timedelta(days=29), day, asked.zone)
    active = by_bucket(daily, daily.chosen(of(facts, pb.MessageSent)))
    counts = [len(people(bucket)) for bucket in active.values()]
    mau = len({person for bucket in active.values() for person in people(bucket)})
    average = Fraction(sum(counts), len(counts))
    return {
        "dau": counts[-1],
        "wau": len({person for bucket in list(active.values())[-7:] for person in people(bucket)}),
        "mau": mau,
        "avg_dau30": round(float(average), 4),
        "stickiness": ratio(average, mau),
    }


def GetFunnel(facts: Facts, asked: Asked) -> list[Row]:
    steps = {
        "registered": people(asked.chosen(of(facts, pb.UserRegistered))),
        "verified": people(fact for fact in of(facts, pb.UserVerified) if fact.time < asked.end),
        "first_message": people(fact for fact in of(facts, pb.MessageSent) if fact.time < asked.end),
        "paid": people(fact for fact in of(facts, pb.PaymentSucceeded) if fact.time < asked.end),
    }
    left, previous, rows = steps["registered"], 0, []
    for step, took in steps.items():
        left = left & took
        from_first = ratio(len(left), len(steps["registered"]))
        row = {"step": step, "users": len(left), "from_previous": ratio(len(left), previous), "from_first": from_first}
        rows.append(row)
        previous = len(left)
    return rows
