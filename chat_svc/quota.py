"""How much of their plans users have used: tokens are held back before a model is asked, and settled when it is done.

A reservation is a row beside the work that it is for and goes in the transaction that counts what was used, so the two
are never both true, nor neither; what a dead replica held back is settled by whoever ends its work.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from chatmesh.events.v1 import events_pb2

from chat_svc import models, usage_store
from chat_svc.accounting import Bill
from chat_svc.entitlements import Allowance
from chat_svc.models import Purpose, Reservation, Used
from svckit import events, outbox
from svckit.errors import ResourceExhausted
from svckit.statements import Driver

_ABOUT_ONE_ANSWER = timedelta(seconds=5)
_SHORTEST = 64  # tokens; an answer that may have less is not begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a user stands: tokens used and held back in the running period, and answers that are being written."""

    allowance: Allowance
    used: int
    reserved: int
    running: int

    def admit(self, *, now: datetime) -> None:
        """Let another answer be asked for. Raises ResourceExhausted (TOO_MANY_GENERATIONS, QUOTA_EXCEEDED)."""
        most = self.allowance.generations
        if most is not None and self.running >= most:
            told = f"at most {most} answers at the same time"
            raise ResourceExhausted(told, reason="TOO_MANY_GENERATIONS", retry_after=_ABOUT_ONE_ANSWER)
        self.share(input_tokens=0, longest=_SHORTEST, now=now)

    def share(self, *, input_tokens: int, longest: int, now: datetime) -> int:
        """How many tokens, at most `longest`, an answer may have: as many as the others that may begin beside it.

        Raises ResourceExhausted (QUOTA_EXCEEDED).
        """
        limit = self.allowance.tokens
        if limit is None or self.allowance.overage:
            return longest
        left = limit - self.used - self.reserved - input_tokens
        if left < min(_SHORTEST, longest):
            raise self._exceeded(limit, needed=input_tokens + _SHORTEST, now=now)
        places = max((self.allowance.generations or 1) - self.running, 1)
        return min(longest, left, max(left // places, _SHORTEST))

    def _exceeded(self, limit: int, *, needed: int, now: datetime) -> ResourceExhausted:
        reset = self.allowance.period.end
        retry_after: timedelta | None = reset - now
        if self.used + needed <= limit:  # what is held back may turn out not to be needed
            retry_after = _ABOUT_ONE_ANSWER
        elif needed > limit:
            retry_after = None
        return ResourceExhausted(
            f"the plan's {limit} tokens do not suffice: {self.used} are used, {self.reserved} held back",
            reason="QUOTA_EXCEEDED",
            metadata={
                "limit": str(limit),
                "used": str(self.used),
                "reserved": str(self.reserved),
                "reset_time": reset.isoformat().replace("+00:00", "Z"),
            },
            retry_after=retry_after,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was asked of which model: `id` is the generation's, or for a title one of its own."""

    id: str
    owner_id: str
    provider: str
    model: str
    conversation_id: str = ""
    message_id: str = ""


async def standing(driver: Driver, owner_id: str, allowance: Allowance) -> Standing:
    """Where the owner stands. It stays true for those who have the turn (owners.take_turn), or gets better."""
    found = await usage_store.figures(driver, owner_id, period_start=allowance.period.start)
    return Standing(allowance=allowance, used=found.used, reserved=found.reserved, running=found.running)


async def reserve(driver: Driver, work: Work, *, allowance: Allowance, tokens: int, runner: str) -> None:
    """Hold the tokens back for work that the replica `runner` does."""
    held = Reservation(
        work_id=work.id,
        owner_id=work.owner_id,
        plan=allowance.plan,
        period_start=allowance.period.start,
        tokens=tokens,
        runner=runner,
    )
    await usage_store.reserve(driver, held)


async def settle(driver: Driver, work: Work, charged: Bill, *, now: datetime) -> None:
    """Count what an answer has used in place of what was held back for it: once, whoever settles it how often."""
    held = await usage_store.release(driver, work.id)
    if held is not None and charged.tokens:
        await usage_store.add_used(driver, _used(work, charged, purpose=Purpose.ANSWER, period_start=held.period_start))
        await _tell(driver, work, charged, meter=events_pb2.METER_TOKENS, plan=held.plan, now=now)


async def count_title(driver: Driver, work: Work, charged: Bill, *, allowance: Allowance, now: datetime) -> None:
    """Count what a title has used. It takes nothing of the plan: nobody has asked for it."""
    if charged.tokens:
        period_start = allowance.period.start
        await usage_store.add_used(driver, _used(work, charged, purpose=Purpose.TITLE, period_start=period_start))
        await _tell(driver, work, charged, meter=events_pb2.METER_TITLE_TOKENS, plan=allowance.plan, now=now)


async def _tell(
    driver: Driver,
    work: Work,
    charged: Bill,
    *,
    meter: events_pb2.Meter.ValueType,
    plan: str,
    now: datetime,
) -> None:
    """Tell who meters; the event's id is the work's, so that it counts once."""
    recorded = events_pb2.UsageRecorded(
        user_id=work.owner_id,
        work_id=work.id,
        meter=meter,
        quantity=charged.tokens,
        plan=plan,
        conversation_id=work.conversation_id,
        message_id=work.message_id,
        provider=work.provider,
        model=work.model,
    )
    event_id = str(uuid5(UUID(work.id), "used"))
    fact = events.event(recorded, source="chat", about=work.owner_id, time=now, id=event_id)
    await outbox.add_directly(driver, models.outbox, fact)


def _used(work: Work, charged: Bill, *, purpose: Purpose, period_start: datetime) -> Used:
    """The row that one work adds."""
    return Used(
        owner_id=work.owner_id,
        period_start=period_start,
        purpose=purpose,
        provider=work.provider,
        model=work.model,
        works=1,
        **asdict(charged.usage),
        cost_micros=charged.cost_micros,
        estimated=charged.estimated,
    )
