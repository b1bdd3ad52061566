"""How generations end: once, in one transaction with the text, the bill and the event, then in their live stream."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import UUID, uuid5

import structlog
from chatmesh.chat.v1 import chat_pb2
from chatmesh.chat.v1.chat_pb2 import GenerationEvent
from chatmesh.events.v1 import events_pb2
from google.protobuf.message import Message

from chat_svc import answer_store, entitlements, models, prompt, quota, store
from chat_svc.accounting import Bill, bill
from chat_svc.catalogue import Catalogue, Model
from chat_svc.failures import failure
from chat_svc.models import FinishReason, Generation, State
from chat_svc.providers import Call, Usage
from chat_svc.sending import work_of
from chat_svc.streams import Streams, Superseded, expired, is_terminal
from svckit import events, outbox
from svckit.errors import NotFound, OutOfRange
from svckit.postgres import Database
from svckit.statements import Driver

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a generation ended: `error_code` is one of failures.py if it failed, else empty."""

    state: State
    finish_reason: FinishReason
    text: str
    bill: Bill
    # The tools that the model asked for; none unless its answer came whole.
    calls: Sequence[Call] = ()
    error_code: str = ""
    latency: timedelta = timedelta(0)
    # Until the first text; None: there was none.
    first_text: timedelta | None = None


class Endings:
    """Ends generations, whether it was their own replica that did the work or one that is no more."""

    def __init__(self, *, database: Database, streams: Streams, catalogue: Catalogue) -> None:
        self._database = database
        self._streams = streams
        self._catalogue = catalogue

    async def end(self, generation: Generation, outcome: Outcome) -> bool:
        """Write the end; False if it was written before, or if the conversation was deleted meanwhile.

        What was used counts in either case, unless the account was deleted.
        """
        now = datetime.now(UTC)
        async with self._database.direct() as driver:
            if generation.conversation_id:
                await answer_store.touch_conversation(driver, generation.conversation_id, now=now)
            ended = await answer_store.end_generation(driver, generation.id, values=_values(outcome, now))
            if ended:
                if generation.message_id:
                    await answer_store.write_answer(
                        driver,
                        generation.message_id,
                        text=outcome.text,
                        calls=outcome.calls,
                        model=f"{generation.provider}/{generation.model}",
                    )
                await self._tell(driver, generation, outcome, now=now)
            await quota.settle(driver, work_of(generation), outcome.bill, now=now)
        return ended

    async def change_model(self, generation: Generation, model: Model) -> Generation:
        """Note that another model answers; as it was if it has ended meanwhile."""
        async with self._database.transaction() as session:
            changed = await store.change_model(session, generation.id, provider=model.provider, model=model.id)
        return changed or generation

    async def abandon(self, generation: Generation) -> None:
        """End a generation whose replica is gone, with as much of its text as came through."""
        text = text_of(await self._streams.read(generation.id))
        model = self._catalogue.find(provider=generation.provider, model=generation.model)
        async with self._database.direct() as driver:
            known = model and text and generation.conversation_id
            built = await prompt.rebuild(driver, generation, model=model) if model and known else None
        outcome = Outcome(
            state=State.FAILED,
            finish_reason=FinishReason.ERROR,
            error_code="interrupted",
            text=text,
            bill=bill(None, prompt=built.prompt if built else None, text=text, model=model),
            latency=datetime.now(UTC) - generation.created_at,
        )
        if await self.end(generation, outcome):
            log.warning("ended a generation that nobody was writing any more", generation=generation.id)
            with suppress(OutOfRange, NotFound):  # it died before it told anything, or is deleted by now
                await self.is_over(generation.id)

    async def is_over(self, generation_id: str) -> bool:
        """Whether it has ended; if so, its stream says so from now on, too.

        Raises NotFound when it was deleted and OutOfRange when its events are no longer kept.
        """
        async with self._database.transaction() as session:
            generation = await session.get(Generation, generation_id)
            if generation is None:
                raise NotFound("the conversation was deleted")
            if generation.state == State.RUNNING:
                return False
            answer = await store.message_of(session, generation)
        await self._complete(generation, answer.text if answer else "")
        return True

    async def _complete(self, generation: Generation, text: str) -> None:
        """Write what the stream lacks of a generation that has ended: its replica, or Redis, may have been away."""
        last = await self._streams.last(generation.id)
        if last is None:
            raise expired()
        if is_terminal(last):
            return
        told = await self._streams.read(generation.id)
        lacking = list(closing(_outcome_of(generation, text)))
        if last.HasField("usage"):
            lacking = lacking[1:]
        elif missing := text.removeprefix(text_of(told)):
            lacking.insert(0, GenerationEvent(delta=chat_pb2.Delta(text=missing)))
        for sequence, event in enumerate(lacking, last.sequence + 1):
            event.sequence = sequence
            try:
                await self._streams.append(generation.id, event)
            except Superseded:  # by another replica that does the same right now
                return

    async def _tell(self, driver: Driver, generation: Generation, outcome: Outcome, *, now: datetime) -> None:
        allowance = await entitlements.allowance(driver, generation.owner_id, now=now)
        fact = self._fact(generation, outcome, plan=allowance.plan)
        event_id = str(uuid5(UUID(generation.id), "ended"))
        told = events.event(fact, source="chat", about=generation.owner_id, time=now, id=event_id)
        await outbox.add_directly(driver, models.outbox, told)

    def _fact(self, generation: Generation, outcome: Outcome, *, plan: str) -> Message:
        model = self._catalogue.find(provider=generation.provider, model=generation.model)
        usage = outcome.bill.usage
        fact = _FACTS[outcome.state](
            user_id=generation.owner_id,
            conversation_id=generation.conversation_id or "",
            message_id=generation.message_id or "",
            generation_id=generation.id,
            plan=plan,
            provider=generation.provider,
            model=generation.model,
            latency_ms=_milliseconds(outcome.latency),
            usage=events_pb2.Usage(
                tokens_in=usage.input_tokens,
                tokens_out=usage.output_tokens,
                tokens_cached=usage.cached_input_tokens,
                tokens_reasoning=usage.reasoning_tokens,
                cost_micros=outcome.bill.cost_micros,
                price_version=self._catalogue.version if model and model.priced else "",
                estimated=outcome.bill.estimated,
            ),
        )
        if outcome.first_text is not None:
            fact.ttft_ms = _milliseconds(outcome.first_text)
        if isinstance(fact, events_pb2.CompletionFailed):
            fact.error_code = outcome.error_code
        return fact


_FACTS: Mapping[
    State,
    type[events_pb2.CompletionSucceeded] | type[events_pb2.CompletionCancelled] | type[events_pb2.CompletionFailed],
] = MappingProxyType(
    {
        State.DONE: events_pb2.CompletionSucceeded,
        State.CANCELLED: events_pb2.CompletionCancelled,
        State.FAILED: events_pb2.CompletionFailed,
    }
)


def closing(outcome: Outcome) -> tuple[GenerationEvent, GenerationEvent]:
    """The last two events of a generation: what it used, and that it is over. Their sequence is for the caller."""
    usage = GenerationEvent(usage=token_usage(outcome.bill))
    if outcome.state == State.FAILED:
        told = failure(outcome.error_code)
        error = chat_pb2.StreamError(code=outcome.error_code, message=told.message, retryable=told.retryable)
        return usage, GenerationEvent(error=error)
    end = chat_pb2.MessageEnd(
        finish_reason=finish_reason(outcome.finish_reason),
        partial=outcome.finish_reason not in (FinishReason.STOP, FinishReason.TOOL_CALLS),
    )
    return usage, GenerationEvent(message_end=end)


def finish_reason(reason: FinishReason | None) -> chat_pb2.FinishReason.ValueType:
    """The reason as callers see it; unspecified while there is none."""
    return chat_pb2.FinishReason.Value(f"FINISH_REASON_{reason.upper() if reason else 'UNSPECIFIED'}")


def token_usage(charged: Bill) -> chat_pb2.TokenUsage:
    """The bill as callers see it."""
    return chat_pb2.TokenUsage(
        input_tokens=charged.usage.input_tokens,
        output_tokens=charged.usage.output_tokens,
        cached_input_tokens=charged.usage.cached_input_tokens,
        cache_write_tokens=charged.usage.cache_write_tokens,
        reasoning_tokens=charged.usage.reasoning_tokens,
        cost_micros=charged.cost_micros,
        estimated=charged.estimated,
    )


def bill_of(generation: Generation) -> Bill:
    """What was charged for a generation that has ended."""
    usage = Usage(
        input_tokens=generation.input_tokens or 0,
        output_tokens=generation.output_tokens or 0,
        cached_input_tokens=generation.cached_input_tokens or 0,
        cache_write_tokens=generation.cache_write_tokens or 0,
        reasoning_tokens=generation.reasoning_tokens or 0,
    )
    return Bill(usage=usage, cost_micros=generation.cost_micros or 0, estimated=bool(generation.estimated))


def text_of(told: Iterable[GenerationEvent]) -> str:
    """The text that the events carry."""
    return "".join(event.delta.text for event in told)


def _outcome_of(generation: Generation, text: str) -> Outcome:
    """The outcome that a generation's row tells of."""
    return Outcome(
        state=State(generation.state),
        finish_reason=FinishReason(generation.finish_reason or FinishReason.ERROR),
        text=text,
        bill=bill_of(generation),
        error_code=generation.error_code or "",
    )


def _values(outcome: Outcome, now: datetime) -> Mapping[str, object]:
    """The columns of a generation that its end sets."""
    usage = outcome.bill.usage
    return {
        "state": outcome.state,
        "finish_reason": outcome.finish_reason,
        "error_code": outcome.error_code or None,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_micros": outcome.bill.cost_micros,
        "estimated": outcome.bill.estimated,
        "ended_at": now,
    }


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
