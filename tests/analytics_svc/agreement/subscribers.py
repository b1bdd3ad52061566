"""Reports on MRR and churn, computed from the facts, customer by customer."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction

from tests.analytics_svc.agreement.asked import Asked
from tests.analytics_svc.agreement.computing import CHANGES, Facts, Row, half_up, of, of_currency, ratio


def histories(facts: Facts, asked: Asked) -> dict[str, list[tuple[datetime, int]]]:
    """By customer: when their MRR became how much, up to the end of the range."""
    found: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for fact in of(facts, *CHANGES):
        if fact.time < asked.end and of_currency(fact, asked):
            found[fact.message.user_id].append((fact.time, fact.message.mrr_after_minor))  # type: ignore[attr-defined]
    return found


def standing(history: Iterable[tuple[datetime, int]], until: datetime) -> int:
    return next((after for time, after in reversed(list(history)) if time < until), 0)


def GetMrr(facts: Facts, asked: Asked) -> Row:
    all_histories = histories(facts, asked).values()
    ends = [standing(history, asked.end) for history in all_histories]
    active = sum(end > 0 for end in ends)
    movements = GetMrrMovements(facts, asked)
    return {
        "mrr_minor": sum(ends),
        "arr_minor": 12 * sum(ends),
        "active_subscribers": active,
        "arpu_minor": half_up(Fraction(sum(ends), active)) if active else None,
        "series": [{"date": row["date"], "mrr_minor": row["mrr_end"]} for row in movements],
    }


def GetMrrMovements(facts: Facts, asked: Asked) -> list[Row]:
    kinds = ("new", "expansion", "contraction", "churn", "reactivation")
    moved: dict[str, Counter[str]] = {label: Counter() for label in asked.labels}
    mrr = 0
    for history in histories(facts, asked).values():
        mrr += standing(history, asked.start)
        before, ever = 0, False
        for time, after in history:
            if time >= asked.start and after != before:
                moved[asked.label(time)][movement(before, after, ever)] += after - before
            before, ever = after, ever or after > 0
    rows = []
    for label, flows in moved.items():
        start, mrr = mrr, mrr + flows.total()
        row = {"date": label, "mrr_start": start, "net": flows.total(), "mrr_end": mrr}
        rows.append(row | {kind: flows[kind] for kind in kinds})
    return rows


def movement(before: int, after: int, ever: bool) -> str:
    if before == 0:
        return "reactivation" if ever else "new"
    if after == 0:
        return "churn"
    return "expansion" if after > before else "contraction"


def GetChurn(facts: Facts, asked: Asked) -> Row:
    row: Counter[str] = Counter()
    for history in histories(facts, asked).values():
        start, end = standing(history, asked.start), standing(history, asked.end)
        earlier = any(after for time, after in history if time < asked.start)
        is_new = not earlier and any(after for _, after in history)
        row["subscribers_at_start"] += start > 0
        row["new"] += is_new
        row["reactivated"] += earlier and not start and end > 0
        row["churned"] += not end and (start > 0 or is_new)
        row["mrr_start"] += start
        row["mrr_end"] += end
        row["churned_mrr"] += 0 if end else start
        row["contraction_mrr"] += max(start - end, 0) if end else 0
        row["expansion_mrr"] += max(end - start, 0) if start else 0
    start, kept = row["mrr_start"], row["mrr_start"] - row["churned_mrr"] - row["contraction_mrr"]
    names = "subscribers_at_start new reactivated churned mrr_start mrr_end churned_mrr contraction_mrr expansion_mrr"
    return {name: row[name] for name in names.split()} | {
        "subscriber_churn_rate": ratio(row["churned"], row["subscribers_at_start"] + row["new"]),
        "gross_mrr_churn_rate": ratio(start - kept, start),
        "net_mrr_churn_rate": ratio(start - kept - row["expansion_mrr"], start),
        "grr": ratio(kept, start),
        "nrr": ratio(kept + row["expansion_mrr"], start),
    }


def GetLtv(facts: Facts, asked: Asked) -> Row:
    mrr, churn = GetMrr(facts, asked), GetChurn(facts, asked)
    active, churned = mrr["active_subscribers"], churn["churned"]
    could = churn["subscribers_at_start"] + churn["new"]
    return {
        "arpu_minor": mrr["arpu_minor"],
        "churn_rate": ratio(churned, could),
        "ltv_minor": half_up(Fraction(mrr["mrr_minor"], active) / Fraction(churned, could))
        if active and churned
        else None,
        "active_subscribers": active,
        "churned_subscribers": churned,
    }
