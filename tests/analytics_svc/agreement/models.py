"""Reports on providers and their models, computed from the facts."""

from fractions import Fraction

from chatmesh.events.v1 import events_pb2 as pb

from tests.analytics_svc.agreement.asked import Asked
from tests.analytics_svc.agreement.computing import ANSWERS, Facts, Row, grouped, half_up, of, ranked, ratio


def GetProviderUsage(facts: Facts, asked: Asked) -> list[Row]:
    rows = [
        {
            "provider": provider,
            "requests": len(answers),
            "tokens_in": sum(answer.usage.tokens_in for answer in answers),
            "tokens_out": sum(answer.usage.tokens_out for answer in answers),
            "unique_users": len({answer.user_id for answer in answers}),
        }
        for (provider,), answers in grouped(asked.chosen(of(facts, *ANSWERS)), "provider").items()
    ]
    return sorted(rows, key=lambda row: (-row["requests"], row["provider"]))


def GetProviderPerformance(facts: Facts, asked: Asked) -> list[Row]:
    rows = []
    for (provider,), answers in grouped(asked.chosen(of(facts, *ANSWERS)), "provider").items():
        good = [answer for answer in answers if isinstance(answer, pb.CompletionSucceeded)]
        latencies, ttfts = [answer.latency_ms for answer in good], [answer.ttft_ms for answer in good if answer.ttft_ms]
        tokens = sum(answer.usage.tokens_out for answer in good)
        rows.append(
            {
                "provider": provider,
                "requests": len(answers),
                "successes": len(good),
                "success_rate": ratio(len(good), len(answers)),
                **{f"latency_ms_p{level}": percentile(latencies, level) for level in (50, 95, 99)},
                **{f"ttft_ms_p{level}": percentile(ttfts, level) for level in (50, 95)},
                "output_tokens_per_second": ratio(tokens * 1000, sum(latencies)),
            }
        )
    return sorted(rows, key=lambda row: (-row["requests"], row["provider"]))


def percentile(values: list[int], level: int) -> int | None:
    return sorted(values)[int(level / 100 * len(values))] if values else None


def GetProviderCost(facts: Facts, asked: Asked) -> list[Row]:
    rows = []
    for (provider, model), answers in grouped(asked.chosen(of(facts, *ANSWERS)), "provider", "model").items():
        cost, requests = sum(answer.usage.cost_micros for answer in answers), len(answers)
        row = {"provider": provider, "model": model, "cost_micros": cost, "requests": requests}
        rows.append(row | {"cost_per_request_micros": half_up(Fraction(cost, requests))})
    return sorted(rows, key=lambda row: (-row["cost_micros"], row["provider"], row["model"]))


def GetPopularModels(facts: Facts, asked: Asked) -> list[Row]:
    groups = grouped(asked.chosen(of(facts, *ANSWERS)), "provider", "model")
    popular = ranked({names: len(answers) for names, answers in groups.items()})
    return [
        {
            "rank": rank,
            "provider": names[0],
            "model": names[1],
            "requests": requests,
            "unique_users": len({answer.user_id for answer in groups[names]}),
        }
        for rank, (names, requests) in enumerate(popular[: int(asked.only.get("limit", 10))], start=1)
    ]


def GetProviderErrors(facts: Facts, asked: Asked) -> list[Row]:
    answers = asked.chosen(of(facts, *ANSWERS))
    requests = {names: len(group) for names, group in grouped(answers, "provider", "model").items()}
    errors = grouped(of(answers, pb.CompletionFailed), "provider", "model", "error_code")
    return [
        {
            "provider": provider,
            "model": model,
            "error_code": code,
            "errors": count,
            "requests": requests[provider, model],
            "error_rate": ratio(count, requests[provider, model]),
        }
        for (provider, model, code), count in ranked({names: len(group) for names, group in errors.items()})
    ]
