"""One generation while it is written: provider in, events out, and an end whatever happens."""

import asyncio
import time
from contextlib import aclosing, suppress
from datetime import timedelta
from enum import Enum

import structlog
from chatmesh.chat.v1 import chat_pb2
from chatmesh.chat.v1.chat_pb2 import GenerationEvent

from chat_svc import prompt
from chat_svc.accounting import bill
from chat_svc.catalogue import Model
from chat_svc.endings import Endings, Outcome, closing
from chat_svc.models import FinishReason, State
from chat_svc.providers import Finish, Part, Prompt, Provider, ProviderError, Text, Usage
from chat_svc.sending import Accepted
from chat_svc.streams import Narrator, Superseded
from chat_svc.texts import Cleaner
from svckit.errors import Unavailable
from svckit.postgres import Database

log = structlog.get_logger(__name__)

# Seconds in which at most one delta is written; the first goes out at once.
_BATCH = 0.015
_FIRST_PAUSE = 0.1  # seconds before an end that could not be saved is saved again; doubles up to the longest
_LONGEST_PAUSE = 5.0


class Stop(Enum):
    """Why a generation is stopped before its model is done."""

    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Run:
    """Writes one generation, once. The model is read in a task of its own, so that it can be stopped alone."""

    def __init__(
        self, accepted: Accepted, *, provider: Provider, database: Database, narrator: Narrator, endings: Endings
    ) -> None:
        self._accepted = accepted
        self._provider = provider
        self._database = database
        self._narrator = narrator
        self._endings = endings
        self._answer = _Answer(accepted.model)
        self._news = asyncio.Event()
        self._stopped: Stop | None = None
        self._reading: asyncio.Task[None] | None = None

    def stop(self, why: Stop) -> None:
        """End it early: the call to the provider is closed, what was written is kept."""
        if self._stopped is None:
            self._stopped = why
            if self._reading is not None:
                self._reading.cancel()

    async def run(self) -> None:
        """Write it to its end."""
        reading = self._reading = asyncio.create_task(self._read())
        reading.add_done_callback(lambda _: self._news.set())
        if self._stopped is not None:
            reading.cancel()
        try:
            await self._narrate(reading)
        except Superseded:
            log.warning("another replica has ended this generation", generation=self._accepted.generation.id)
            self.stop(Stop.INTERRUPTED)
            await asyncio.wait([reading])
        finally:
            reading.cancel()
        await self._end(self._answer.outcome(reading, stopped=self._stopped))

    async def _read(self) -> None:
        """Ask the model and take in what it says."""
        async with self._database.transaction() as session:
            asked = await prompt.build(session, self._accepted.generation, model=self._accepted.model)
        self._answer.begin(asked)
        async with aclosing(self._provider.answer(asked)) as parts:
            async for part in parts:
                self._answer.take(part)
                self._news.set()
        self._answer.complete()

    async def _narrate(self, reading: asyncio.Task[None]) -> None:
        """Tell readers what happens until the model is done: the text as it comes, batched."""
        await self._narrator.tell(_start(self._accepted))
        if self._accepted.title:
            await self._narrator.tell(GenerationEvent(title=chat_pb2.TitleChange(title=self._accepted.title)))
        while not reading.done():
            await self._news.wait()
            self._news.clear()
            await self._tell_text()
            await asyncio.wait([reading], timeout=_BATCH)
        await self._tell_text()

    async def _tell_text(self) -> None:
        if text := self._answer.untold():
            await self._narrator.tell(GenerationEvent(delta=chat_pb2.Delta(text=text)))

    async def _end(self, outcome: Outcome) -> None:
        """Save the end, then tell it. While the database is away, the answer waits here."""
        pause = _FIRST_PAUSE
        while True:
            try:
                saved = await self._endings.end(self._accepted.generation, outcome)
                break
            except Unavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        # Not saved: deleted meanwhile, which cancels it, or ended by another replica, which tells it.
        if saved or self._stopped is Stop.CANCELLED:
            with suppress(Superseded):
                for event in closing(outcome):
                    await self._narrator.tell(event)


class _Answer:
    """What has come of an answer so far."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._prompt: Prompt | None = None
        self._asked = time.monotonic()
        self._first_text: float | None = None
        self._cleaner = Cleaner()
        self._texts: list[str] = []
        self._told = 0
        self._usage: Usage | None = None
        self._finish = FinishReason.STOP
        self._whole = False

    def begin(self, asked: Prompt) -> None:
        self._prompt = asked
        self._asked = time.monotonic()

    def take(self, part: Part) -> None:
        match part:
            case Text(text):
                self._first_text = self._first_text or time.monotonic()
                self._texts.append(self._cleaner.feed(text))
            case Usage():
                self._usage = part
            case Finish(reason):
                self._finish = reason

    def complete(self) -> None:
        """The model is done."""
        self._texts.append(self._cleaner.rest())
        self._whole = True

    def untold(self) -> str:
        """The text that has come since this was last asked."""
        text = "".join(self._texts[self._told :])
        self._told = len(self._texts)
        return text

    def outcome(self, reading: asyncio.Task[None], *, stopped: Stop | None) -> Outcome:
        """How it ended, once `reading` is done."""
        state, reason, code = self._verdict(reading, stopped)
        text = "".join(self._texts)
        return Outcome(
            state=state,
            finish_reason=reason,
            error_code=code,
            text=text,
            bill=bill(self._usage, prompt=self._prompt, text=text, model=self._model, whole=self._whole),
            latency=timedelta(seconds=time.monotonic() - self._asked),
            first_text=timedelta(seconds=self._first_text - self._asked) if self._first_text else None,
        )

    def _verdict(self, reading: asyncio.Task[None], stopped: Stop | None) -> tuple[State, FinishReason, str]:
        if reading.cancelled():
            if stopped is Stop.CANCELLED:
                return State.CANCELLED, FinishReason.CANCELLED, ""
            return State.FAILED, FinishReason.ERROR, "interrupted"
        error = reading.exception()
        if error is None:
            return State.DONE, self._finish, ""
        if not isinstance(error, ProviderError):
            log.error("a generation failed", exc_info=error)
            return State.FAILED, FinishReason.ERROR, "internal"
        log.warning("a provider failed", code=error.code, error=str(error), model=self._model.id)
        timed_out = error.code == "upstream_timeout"
        return State.FAILED, FinishReason.TIMEOUT if timed_out else FinishReason.ERROR, error.code


def _start(accepted: Accepted) -> GenerationEvent:
    generation = accepted.generation
    return GenerationEvent(
        message_start=chat_pb2.MessageStart(
            generation_id=generation.id,
            conversation_id=generation.conversation_id,
            user_message_id=generation.user_message_id,
            message_id=generation.message_id,
            parent_id=accepted.parent_id,
            provider=generation.provider,
            model=generation.model,
        )
    )
