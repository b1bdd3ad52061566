"""Reports on conversations, computed from the facts."""

from collections import defaultdict
from statistics import median

from chatmesh.events.v1 import events_pb2 as pb

from tests.analytics_svc.agreement.asked import Asked
from tests.analytics_svc.agreement.computing import ANSWERS, Facts, Row, by_bucket, grouped, of, people, ranked, ratio
from tests.analytics_svc.agreement.year import Fact


def GetChatActivity(facts: Facts, asked: Asked) -> list[Row]:
    kinds = (pb.MessageSent, pb.ConversationCreated, *ANSWERS)
    return [
        {
            "date": label,
            "messages": len(of(bucket, pb.MessageSent)),
            "completions": len(of(bucket, pb.CompletionSucceeded)),
            "failures": len(of(bucket, pb.CompletionFailed)),
            "conversations": len(of(bucket, pb.ConversationCreated)),
            "active_users": len(people(of(bucket, pb.MessageSent))),
        }
        for label, bucket in by_bucket(asked, asked.chosen(of(facts, *kinds))).items()
    ]


def GetTokens(facts: Facts, asked: Asked) -> list[Row]:
    rows = []
    for (plan,), answers in grouped(asked.chosen(of(facts, *ANSWERS)), "plan").items():
        tokens_in = sum(answer.usage.tokens_in for answer in answers)
        tokens_out = sum(answer.usage.tokens_out for answer in answers)
        total = tokens_in + tokens_out
        rows.append({"plan": plan, "tokens_in": tokens_in, "tokens_out": tokens_out, "tokens_total": total})
    return sorted(rows, key=lambda row: (-row["tokens_total"], row["plan"]))


def GetChatByProvider(facts: Facts, asked: Asked) -> list[Row]:
    answers = grouped(asked.chosen(of(facts, pb.CompletionSucceeded)), "provider")
    counts = {names: len(group) for names, group in answers.items()}
    total = sum(counts.values())
    return [
        {"provider": provider, "messages": count, "share": ratio(count, total)} for (provider,), count in ranked(counts)
    ]


def GetChatByModel(facts: Facts, asked: Asked) -> list[Row]:
    answers = grouped(asked.chosen(of(facts, pb.CompletionSucceeded)), "provider", "model")
    counts = {names: len(group) for names, group in answers.items()}
    total = sum(counts.values())
    return [
        {"provider": provider, "model": model, "messages": count, "share": ratio(count, total)}
        for (provider, model), count in ranked(counts)
    ]


def GetConversationStats(facts: Facts, asked: Asked) -> Row:
    said: dict[str, list[Fact]] = defaultdict(list)
    for fact in of(facts, pb.MessageSent, *ANSWERS):
        if asked.wants(fact):
            said[fact.message.conversation_id].append(fact)  # type: ignore[attr-defined]
    begun = [
        conversation
        for conversation in said.values()
        if (messages := of(conversation, pb.MessageSent)) and asked.covers(messages[0].time)
    ]
    lengths = [len(of(conversation, pb.MessageSent)) for conversation in begun]
    seconds = [
        (conversation[-1].time - of(conversation, pb.MessageSent)[0].time).total_seconds() for conversation in begun
    ]
    usages = [fact.message.usage for conversation in begun for fact in of(conversation, *ANSWERS)]  # type: ignore[attr-defined]
    return {
        "conversations": len(begun),
        "messages": sum(lengths),
        "avg_messages": ratio(sum(lengths), len(begun)),
        "median_messages": median(lengths) if lengths else None,
        "max_messages": max(lengths, default=0),
        "avg_duration_seconds": ratio(sum(seconds), len(begun)),
        "avg_tokens": ratio(sum(usage.tokens_in + usage.tokens_out for usage in usages), len(begun)),
    }
