"""The overview, computed from the facts."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from chatmesh.events.v1 import events_pb2 as pb

from tests.analytics_svc.agreement.asked import Asked
from tests.analytics_svc.agreement.computing import ANSWERS, Facts, Row, of, people
from tests.analytics_svc.agreement.money import GetRevenueTotal
from tests.analytics_svc.agreement.subscribers import GetMrr

_GRAIN = timedelta(minutes=15)


def GetOverview(facts: Facts, now: datetime, zone: str) -> Row:
    """Without the lag, which no fact tells."""
    last = [fact for fact in facts if now - timedelta(minutes=30) < fact.time <= now]
    five = [fact for fact in last if fact.time > now - timedelta(minutes=5)]
    day = now.astimezone(ZoneInfo(zone)).date()
    # Figures go by quarter hours: today's end with the one that has begun.
    begun = now - (now - Asked(day, day, zone).start) % _GRAIN
    today = Asked(Asked(day, day, zone).start, begun if begun == now else begun + _GRAIN, zone)
    happened = today.chosen(facts)
    until_now = [fact for fact in facts if fact.time <= now]
    mrr = GetMrr(until_now, Asked(day, day, zone))
    return {
        "active_users_last5m": len(people(of(five, pb.MessageSent))),
        "active_users_last30m": len(people(of(last, pb.MessageSent))),
        "messages_last30m": len(of(last, pb.MessageSent)),
        "errors_last30m": len(of(last, pb.CompletionFailed)),
        "today": {
            "signups": len(of(happened, pb.UserRegistered)),
            "messages": len(of(happened, pb.MessageSent)),
            "completions": len(of(happened, pb.CompletionSucceeded)),
            "failures": len(of(happened, pb.CompletionFailed)),
            "cost_micros": sum(fact.message.usage.cost_micros for fact in of(happened, *ANSWERS)),  # type: ignore[attr-defined]
            "gross_minor": GetRevenueTotal(facts, today)["gross_minor"],
        },
        "mrr_minor": mrr["mrr_minor"],
        "active_subscribers": mrr["active_subscribers"],
    }
