"""What one replica of each service carries, and how long its reads take: writes docs/benchmarks-services.md."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import uvloop
from chatmesh.analytics.v1 import analytics_pb2
from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub
from chatmesh.auth.v1 import auth_pb2
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceStub
from chatmesh.billing.v1 import billing_pb2
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceStub
from chatmesh.chat.v1 import chat_pb2
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceStub

from bench import proc, services_rig
from bench.services_rig import ServicesRig
from svckit.local import LocalError

_DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks-services.md"
_TEMPLATE = Path(__file__).with_name("services.md")
_AT_ONCE = 32
_WARM_UP = 100
_ROUNDS = 5
_CALLS = 600
_ALONE = 200
_REPORTS = 60  # calls of a report, which is more work than a read

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One RPC: its best round's calls a second, that round's times and the service's CPU, and the times alone.

    Times in milliseconds; the CPU is of a call.
    """

    service: str
    rpc: str
    rate: float
    crowd: Sequence[float]
    alone: Sequence[float]
    cpu: float

    def __str__(self) -> str:
        figures = (median(self.crowd), _p99(self.crowd), median(self.alone), _p99(self.alone), self.cpu)
        told = " | ".join(f"{figure:.1f}" for figure in figures)
        return f"| {self.service} | `{self.rpc}` | {self.rate:,.0f} | {told} | {1000 / self.cpu:,.0f} |\n"


async def measured(folder: Path) -> str:
    async with services_rig.running(folder) as rig:
        rows = [await _row(rig, service, rpc, call) for (service, rpc), call in _calls(rig).items()]
    return "".join(map(str, rows))


def _calls(rig: ServicesRig) -> Mapping[tuple[str, str], Call]:
    """By service and RPC: what is asked again and again."""
    auth, chat = AuthServiceStub(rig.channels["auth"]), ChatServiceStub(rig.channels["chat"])
    billing, analytics = BillingServiceStub(rig.channels["billing"]), AnalyticsServiceStub(rig.channels["analytics"])
    who = rig.metadata
    conversations = chat_pb2.ListConversationsRequest(page_size=20)
    conversation = chat_pb2.GetConversationRequest(conversation_id=rig.conversation)
    subscription = billing_pb2.GetSubscriptionRequest(subscription_id=rig.subscription)
    return {
        ("auth", "GetMe"): lambda: auth.GetMe(auth_pb2.GetMeRequest(), metadata=who),
        ("auth", "ListSessions"): lambda: auth.ListSessions(auth_pb2.ListSessionsRequest(), metadata=who),
        ("chat", "ListModels"): lambda: chat.ListModels(chat_pb2.ListModelsRequest(), metadata=who),
        ("chat", "GetConversation"): lambda: chat.GetConversation(conversation, metadata=who),
        ("chat", "ListConversations"): lambda: chat.ListConversations(conversations, metadata=who),
        ("billing", "ListPlans"): lambda: billing.ListPlans(billing_pb2.ListPlansRequest(), metadata=who),
        ("billing", "GetSubscription"): lambda: billing.GetSubscription(subscription, metadata=who),
        ("analytics", "GetTokens"): lambda: analytics.GetTokens(analytics_pb2.GetTokensRequest(), metadata=who),
        ("analytics", "GetOverview"): lambda: analytics.GetOverview(analytics_pb2.GetOverviewRequest(), metadata=who),
    }


async def _row(rig: ServicesRig, service: str, rpc: str, call: Call) -> Row:
    count = _REPORTS if service == "analytics" else _CALLS
    await _crowd(call, min(_WARM_UP, count))
    best: tuple[float, Sequence[float], float] = (0.0, (), 0.0)
    for _ in range(_ROUNDS):
        before, began = await rig.cpu_seconds(service), time.perf_counter()
        times = await _crowd(call, count)
        rate = count / (time.perf_counter() - began)
        cpu = (await rig.cpu_seconds(service) - before) / count * 1000
        best = max(best, (rate, times, cpu), key=lambda each: each[0])
    alone = await _crowd(call, min(_ALONE, count), at_once=1)
    return Row(service=service, rpc=rpc, rate=best[0], crowd=best[1], alone=alone, cpu=best[2])


async def _crowd(call: Call, count: int, *, at_once: int = _AT_ONCE) -> Sequence[float]:
    """Ask so often, by so many at once; the milliseconds of each."""
    times: list[float] = []
    turns = iter(range(count))

    async def caller() -> None:
        for _ in turns:
            began = time.perf_counter()
            await call()
            times.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(caller() for _ in range(at_once)))
    return times


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.services", description=__doc__)
    parser.add_argument("--output", type=Path, default=_DOCUMENT, help=f"where to write (default: {_DOCUMENT.name})")
    options = parser.parse_args()
    machine = proc.machine(("grpcio", "sqlalchemy", "psycopg", "chdb", "uvloop"))
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = uvloop.run(measured(Path(folder)))
    except LocalError as error:
        sys.exit(f"bench: {error}")
    about = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    document = _TEMPLATE.read_text(encoding="utf-8").format(
        date=datetime.now(UTC).date().isoformat(), at_once=_AT_ONCE, rounds=_ROUNDS, rows=rows, machine=about
    )
    sys.stdout.write(document)
    options.output.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
