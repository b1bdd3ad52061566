"""How soon chat allows what billing has sold: writes docs/benchmarks-plans.md."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from chatmesh.billing.v1 import billing_pb2
from chatmesh.chat.v1 import chat_pb2

from bench import plans_rig, proc
from bench.accounts import Row
from bench.plans_rig import PlansRig
from svckit.local import LocalError

_DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks-plans.md"
_TEMPLATE = Path(__file__).with_name("plans.md")
_PEOPLE = 100

_Metadata = tuple[tuple[str, str], ...]


async def measured(folder: Path) -> Sequence[Row]:
    """One person after the other subscribes, has more, and leaves."""
    async with plans_rig.running(folder) as rig:
        heard = [await _journey(rig) for _ in range(_PEOPLE)]
    steps = ("`CreateSubscription`", "`UpdateSubscription`, an upgrade", "`CancelSubscription`, now")
    return [
        *(Row(step, times) for step, times in zip(steps, zip(*heard, strict=True), strict=True)),
        Row("all of them", [time for times in heard for time in times]),
    ]


async def _journey(rig: PlansRig) -> Sequence[float]:
    """Milliseconds from billing's answer to chat's knowing, for each change of somebody's plan."""
    me = rig.somebody()
    subscribe = billing_pb2.CreateSubscriptionRequest(plan_id="pro")
    made = (await rig.billing.CreateSubscription(subscribe, metadata=me)).subscription
    subscribed = await _heard(rig, me, "pro")
    change = billing_pb2.UpdateSubscriptionRequest(subscription_id=made.id, plan_id="team")
    await rig.billing.UpdateSubscription(change, metadata=me)
    upgraded = await _heard(rig, me, "team")
    leave = billing_pb2.CancelSubscriptionRequest(subscription_id=made.id, now=True)
    await rig.billing.CancelSubscription(leave, metadata=me)
    return subscribed, upgraded, await _heard(rig, me, "free")


async def _heard(rig: PlansRig, me: _Metadata, plan: str) -> float:
    """Milliseconds until chat decides by that plan."""
    answered = time.perf_counter()
    while (await rig.chat.GetUsage(chat_pb2.GetUsageRequest(), metadata=me)).plan != plan:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.002)
    return (time.perf_counter() - answered) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plans", description=__doc__)
    parser.add_argument("--output", type=Path, default=_DOCUMENT, help=f"where to write (default: {_DOCUMENT.name})")
    options = parser.parse_args()
    machine = proc.machine(("grpcio", "nats-py", "sqlalchemy", "psycopg"))
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = asyncio.run(measured(Path(folder)))
    except LocalError as error:
        sys.exit(f"bench: {error}")
    about = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    document = _TEMPLATE.read_text(encoding="utf-8").format(
        date=datetime.now(UTC).date().isoformat(), rows="".join(map(str, rows)), machine=about
    )
    sys.stdout.write(document)
    options.output.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
