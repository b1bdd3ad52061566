"""One generation while it is written: provider in, events out, and an end whatever happens."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from enum import Enum

import structlog
from chatmesh.chat.v1 import chat_pb2
from chatmesh.chat.v1.chat_pb2 import GenerationEvent

from chat_svc import prompt
from chat_svc.accounting import Bill, bill, cost_micros
from chat_svc.calls import MOST_WRITTEN, CallPieces, merged
from chat_svc.catalogue import Model
from chat_svc.endings import Endings, Outcome, closing, token_usage
from chat_svc.fallbacks import next_model
from chat_svc.models import FinishReason, State
from chat_svc.pace import Pace
from chat_svc.providers import CallPiece, Finish, Part, Prompt, Provider, ProviderError, Text, Usage
from chat_svc.sending import Accepted
from chat_svc.streams import Narrator, Superseded
from chat_svc.texts import Cleaner
from svckit.errors import Unavailable
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_FIRST_PAUSE = 0.1  # seconds before an end that could not be saved is saved again; doubles up to the longest
_LONGEST_PAUSE = 5.0


class Stop(Enum):
    """Why a generation is stopped before its model is done."""

    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    UNREAD = "unread"


class Run:
    """Writes one generation, once. The model is read in a task of its own, so that it can be stopped alone.

    While it fails before its first text, the fallbacks are asked instead, one after the other.
    """

    def __init__(
        self,
        accepted: Accepted,
        *,
        providers: Mapping[str, Provider],
        database: Database,
        narrator: Narrator,
        endings: Endings,
        pace: Pace,
        entitle: Callable[[], asyncio.Task[str]] | None,
    ) -> None:
        self._accepted = accepted
        self._fallbacks = iter(accepted.fallbacks)
        self._providers = providers
        self._database = database
        self._narrator = narrator
        self._endings = endings
        self._pace = pace
        # Begins to look for a better title.
        self._entitle = entitle if accepted.title else None
        self._title: asyncio.Task[str] | None = None
        self._answer = _Answer(accepted)
        self._news = asyncio.Event()
        self._stopped: Stop | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def owner_id(self) -> str:
        return self._accepted.generation.owner_id

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
            with self._pace.writing():
                await self._narrate(reading)
        except Superseded:
            log.warning("another replica has ended this generation", generation=self._accepted.generation.id)
            self.stop(Stop.INTERRUPTED)
            await asyncio.wait([reading])
        finally:
            reading.cancel()
        await self._end(self._answer.outcome(reading, stopped=self._stopped))

    async def _read(self) -> None:
        """Ask the model, or who answers in its place, and take in what it says."""
        asked = self._accepted.prompt
        while True:
            try:
                await self._ask(asked)
                break
            except ProviderError as error:
                other = None if self._answer.begun else next_model(self._accepted.model, error, self._fallbacks)
                if other is None:
                    raise
                asked = await self._fitted(asked, other)
                await self._change_model(other, error)
        self._answer.complete()

    async def _ask(self, asked: Prompt) -> None:
        self._answer.begin(asked)
        async with aclosing(self._providers[self._accepted.model.provider].answer(asked)) as answered:
            async for parts in answered:
                self._answer.take(parts)
                self._news.set()
                if not self._answer.finished:  # what comes behind a finish has no text
                    await self._pace.rest()

    async def _fitted(self, asked: Prompt, other: Model) -> Prompt:
        """The prompt for another model: never longer than the one that tokens are held back for."""
        longest = min(asked.max_output_tokens, other.max_output_tokens)
        in_conversation = self._accepted.generation.conversation_id is not None
        if in_conversation and other.context_tokens < self._accepted.model.context_tokens:
            async with self._database.direct() as driver:
                asked = (await prompt.rebuild(driver, self._accepted.generation, model=other)).prompt
        return replace(asked, model=other.id, max_output_tokens=longest)

    async def _change_model(self, other: Model, error: ProviderError) -> None:
        """Have another model answer, also for whoever ends this should this replica die."""
        log.warning("another model answers", code=error.code, error=str(error), model=other.name)
        generation = await self._endings.change_model(self._accepted.generation, other)
        self._accepted = replace(self._accepted, generation=generation, model=other)
        self._answer.change_model(other, error.code)
        self._news.set()

    async def _narrate(self, reading: asyncio.Task[None]) -> None:
        """Tell readers what happens until the model is done: the text as it is read."""
        await self._narrator.tell(_start(self._accepted))
        if self._accepted.title:
            await self._narrator.tell(GenerationEvent(title=chat_pb2.TitleChange(title=self._accepted.title)))
        while not reading.done():
            await self._news.wait()
            self._news.clear()
            await self._tell_news()
        await self._tell_news()

    async def _tell_news(self) -> None:
        for event in self._answer.untold():
            await self._narrator.tell(event)
        if self._entitle is not None and self._answer.begun:  # not before: the answer's own call goes first
            self._title, self._entitle = self._entitle(), None
            self._title.add_done_callback(lambda _: self._news.set())
        if self._title is not None and self._title.done():
            await self._tell_title(self._title)
            self._title = None

    async def _tell_title(self, found: asyncio.Task[str]) -> None:
        if not found.cancelled() and found.exception() is None and (title := found.result()):
            await self._narrator.tell(GenerationEvent(title=chat_pb2.TitleChange(title=title)))

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

    def __init__(self, accepted: Accepted) -> None:
        self._model = accepted.model
        self._prompt = accepted.prompt
        self._asked = time.monotonic()
        self._first_text: float | None = None
        self._cleaner = Cleaner()
        self._texts: list[str] = []
        self._length = 0
        self._calls = CallPieces()
        self._untold: list[GenerationEvent] = []
        self._usage: Usage | None = None
        self._finish = FinishReason.STOP
        # Whether the model has said that it is done.
        self.finished = False
        self._whole = False

    @property
    def begun(self) -> bool:
        """Whether the model has said anything."""
        return self._first_text is not None

    def begin(self, asked: Prompt) -> None:
        self._prompt = asked
        self._asked = time.monotonic()

    def change_model(self, other: Model, code: str) -> None:
        """Forget what the model before has used, which failed with that code; nobody is charged for it."""
        usage = self._usage
        used = Bill(usage=usage, cost_micros=cost_micros(usage, self._model), estimated=False) if usage else None
        change = chat_pb2.ModelChange(
            from_provider=self._model.provider,
            from_model=self._model.id,
            provider=other.provider,
            model=other.id,
            code=code,
            usage=token_usage(used) if used else None,
        )
        self._untold.append(GenerationEvent(model_change=change))
        self._model, self._usage, self._finish, self.finished = other, None, FinishReason.STOP, False

    def take(self, parts: Sequence[Part]) -> None:
        for part in parts:
            match part:
                case Text(text):
                    self._first_text = self._first_text or time.monotonic()
                    self.finished = False  # another attempt, if it was before
                    self._add(self._cleaner.feed(text))
                case CallPiece():
                    self._first_text = self._first_text or time.monotonic()
                    self._untold.append(GenerationEvent(tool_call=self._calls.take(part)))
                case Usage():
                    self._usage = part
                case Finish(reason):
                    self._finish, self.finished = reason, True

    def complete(self) -> None:
        """The model is done."""
        self._add(self._cleaner.rest())
        self._whole = True

    def untold(self) -> Sequence[GenerationEvent]:
        """What has come since this was last asked, the text in one piece where nothing is between."""
        events, self._untold = self._untold, []
        return merged(events)

    def _add(self, text: str) -> None:
        if text:
            self._length += len(text)
            if self._length > MOST_WRITTEN:
                raise ProviderError("upstream_truncated", "the answer has no end")
            self._texts.append(text)
            self._untold.append(GenerationEvent(delta=chat_pb2.Delta(text=text)))

    def outcome(self, reading: asyncio.Task[None], *, stopped: Stop | None) -> Outcome:
        """How it ended, once `reading` is done."""
        state, reason, code = self._verdict(reading, stopped)
        text = "".join(self._texts)
        return Outcome(
            state=state,
            finish_reason=reason,
            error_code=code,
            text=text,
            calls=self._calls.whole() if self._whole else (),
            bill=bill(
                self._usage, prompt=self._prompt, text=text + self._calls.said, model=self._model, whole=self._whole
            ),
            latency=timedelta(seconds=time.monotonic() - self._asked),
            first_text=timedelta(seconds=self._first_text - self._asked) if self._first_text else None,
        )

    def _verdict(self, reading: asyncio.Task[None], stopped: Stop | None) -> tuple[State, FinishReason, str]:
        if reading.cancelled():
            if stopped is Stop.CANCELLED:
                return State.CANCELLED, FinishReason.CANCELLED, ""
            if stopped is Stop.UNREAD:
                return State.CANCELLED, FinishReason.UNREAD, ""
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
            conversation_id=generation.conversation_id or "",
            user_message_id=generation.user_message_id or "",
            message_id=generation.message_id or "",
            parent_id=accepted.parent_id,
            provider=generation.provider,
            model=generation.model,
            omitted_messages=accepted.omitted,
        )
    )
