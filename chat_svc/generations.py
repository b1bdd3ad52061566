"""The generations that this replica writes: they belong to the service, not to the request that began them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from chat_svc import sending
from chat_svc.catalogue import Catalogue
from chat_svc.endings import Endings
from chat_svc.models import Generation
from chat_svc.owners import Turns
from chat_svc.pace import Pace
from chat_svc.providers import Provider
from chat_svc.run import Run, Stop
from chat_svc.sending import Accepted
from chat_svc.signals import LOOK, Signals
from chat_svc.streams import Narrator, Streams
from chat_svc.titles import Titles
from chat_svc.wishes import Wanted
from svckit import rpc
from svckit.ids import new_id
from svckit.postgres import Database

log = structlog.get_logger(__name__)

WorkT = TypeVar("WorkT")

_CANCEL = "chat:cancel"
_FIRST_PAUSE = 0.05  # seconds between asking for a cancellation and looking whether it has happened; doubles
_LONGEST_PAUSE = 1.0
_SAVING = 5.0  # seconds for the last saves of a process that stops


class Generations:
    """Accepts messages, writes their answers in tasks of its own, and stops them on demand from any replica."""

    def __init__(
        self,
        *,
        database: Database,
        signals: Signals,
        streams: Streams,
        endings: Endings,
        catalogue: Catalogue,
        providers: Mapping[str, Provider],
        titles: Titles | None,
        turns: Turns,
    ) -> None:
        self.replica = new_id()
        self._database = database
        self._signals = signals
        self._streams = streams
        self._endings = endings
        self._catalogue = catalogue
        self._providers = providers
        self._titles = titles
        self._turns = turns
        self._pace = Pace()
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        # On the event loop's clock.
        self._interruption = 0.0

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[None]:
        """Own the generations for the block; at its end they finish, or are interrupted and saved as they are."""
        try:
            yield
        finally:
            await self._wait(self._interruption - asyncio.get_running_loop().time())
            self._interrupt()
            await self._wait(_SAVING)
            for task in self._tasks:
                task.cancel()

    def interrupt_in(self, grace: timedelta) -> None:
        """Let the generations run for that time, then end them with what they have; does not wait for it."""
        loop = asyncio.get_running_loop()
        self._interruption = loop.time() + grace.total_seconds()
        loop.call_at(self._interruption, self._interrupt)

    def writes(self, generation_id: str) -> bool:
        """Whether it is being written here."""
        return generation_id in self._runs

    def owners(self) -> Mapping[str, str]:
        """The ids of what is being written here, each with its owner's."""
        return {id_: run.owner_id for id_, run in self._runs.items()}

    def stop(self, generation_id: str, why: Stop) -> None:
        """End it early if it is being written here."""
        if run := self._runs.get(generation_id):
            run.stop(why)

    async def begin(self, wanted: Wanted) -> Generation:
        """Accept a message, or an old question, and start to write the answer; a repeat gives the generation there is.

        Once accepted it is written, even if the caller is gone by then. Raises as `sending.accept` does.
        """
        return await asyncio.shield(self._spawn(self._begin(wanted)))

    @asynccontextmanager
    async def attached(self, wanted: Wanted) -> AsyncIterator[Generation]:
        """Begin an answer that only the caller will read: it is cancelled if the block ends before it does.

        Not so under an idempotency key, by which the caller can come back for it.
        """
        beginning = self._spawn(self._begin(wanted))
        try:
            yield await asyncio.shield(beginning)
        finally:
            if not wanted.idempotency_key:
                beginning.add_done_callback(self._stop_begun)

    def _stop_begun(self, beginning: asyncio.Task[Generation]) -> None:
        if not beginning.cancelled() and beginning.exception() is None:
            self.stop(beginning.result().id, Stop.CANCELLED)

    async def cancel(self, generation_id: str) -> None:
        """Have the replica that writes it stop, and wait until it has ended; asked again, since signals may be lost."""
        pause = _FIRST_PAUSE
        while not await self._endings.is_over(generation_id):
            await self.ask_to_cancel(generation_id)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def ask_to_cancel(self, generation_id: str) -> None:
        """Tell all replicas that it is not wanted any more."""
        await self._signals.say(_CANCEL, generation_id)

    async def hear_cancels(self) -> None:
        """Stop what is not wanted any more, for ever."""
        async with self._signals.listening(_CANCEL) as heard:
            while True:
                signal = await heard.get()
                if signal != LOOK:
                    self.stop(signal.decode(), Stop.CANCELLED)

    async def _begin(self, wanted: Wanted) -> Generation:
        async with self._turns.of(wanted.owner_id), self._database.direct() as driver:
            now = datetime.now(UTC)
            if repeated := await sending.repeated(driver, wanted, now=now):
                return repeated
            accepted = await sending.accept(driver, wanted, catalogue=self._catalogue, runner=self.replica, now=now)
        self._start(accepted)
        return accepted.generation

    def _start(self, accepted: Accepted) -> None:
        generation, titles = accepted.generation, self._titles
        run = self._runs[generation.id] = Run(
            accepted,
            providers=self._providers,
            database=self._database,
            narrator=Narrator(streams=self._streams, generation_id=generation.id),
            endings=self._endings,
            pace=self._pace,
            entitle=partial(self._entitle, titles, accepted) if titles else None,
        )
        self._spawn(run.run()).add_done_callback(partial(self._ended, generation.id))

    def _entitle(self, titles: Titles, accepted: Accepted) -> asyncio.Task[str]:
        looking = self._spawn(titles.improve(accepted))
        looking.add_done_callback(_title_ended)
        return looking

    def _spawn(self, work: Coroutine[object, None, WorkT]) -> asyncio.Task[WorkT]:
        """Do work that no request can cancel, and that keeps the request's ids but not its deadline."""
        task = asyncio.create_task(work, context=rpc.detached())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _ended(self, generation_id: str, task: asyncio.Task[object]) -> None:
        del self._runs[generation_id]
        if not task.cancelled() and (error := task.exception()):  # the watch over leases will end it
            log.error("a generation could not be ended", generation=generation_id, exc_info=error)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain when the caller is gone

    async def _wait(self, seconds: float) -> None:
        """Until all tasks are done, but no longer than that."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(seconds, 0))

    def _interrupt(self) -> None:
        for run in self._runs.values():
            run.stop(Stop.INTERRUPTED)


def _title_ended(looking: asyncio.Task[str]) -> None:
    if not looking.cancelled() and (error := looking.exception()):
        log.error("no title could be made", exc_info=error)
