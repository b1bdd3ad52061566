"""The caller's generations, as several resources serve them: looked for, shown, followed and cancelled."""

from collections.abc import AsyncGenerator, Iterable
from functools import partial

from chatmesh.chat.v1 import chat_pb2 as pb

from chat_svc import store
from chat_svc.endings import Endings, text_of
from chat_svc.generations import Generations
from chat_svc.models import Generation, State
from chat_svc.servicer import bridge
from chat_svc.streams import Streams
from svckit import identity
from svckit.errors import NotFound
from svckit.postgres import Database


class Answers:
    """Answers that the caller has asked for, whichever replica writes them."""

    def __init__(self, *, database: Database, generations: Generations, streams: Streams, endings: Endings) -> None:
        self._database = database
        self._generations = generations
        self._streams = streams
        self._endings = endings

    async def find(self, generation_id: str) -> Generation:
        """The caller's generation. Raises NotFound."""
        async with self._database.transaction() as session:
            found = await store.find_generation(session, generation_id, owner_id=identity.user_id())
        if found is None:
            raise NotFound("no such generation")
        return found

    async def show(self, generation_id: str) -> pb.Generation:
        """The caller's generation with its text; while it runs, that is what its stream has. Raises NotFound."""
        async with self._database.transaction() as session:
            found = await store.find_answer(session, generation_id, owner_id=identity.user_id())
        if found is None:
            raise NotFound("no such generation")
        text = found.message.text
        if found.generation.state == State.RUNNING:
            text = text_of(await self._streams.read(found.generation.id))  # as we spell it, not the caller
        return bridge.generation(found.generation, text=text)

    async def cancel(self, generation_id: str) -> pb.Generation:
        """Stop the caller's generation if it runs; as it has ended. Raises NotFound."""
        found = await self.find(generation_id)
        if found.state == State.RUNNING:
            await self._generations.cancel(found.id)
        return await self.show(found.id)

    async def events(self, generation: Generation, *, after: int) -> AsyncGenerator[pb.GenerationEvent, None]:
        """The events after that sequence to the last, as they come or as they are kept. Raises OutOfRange."""
        if generation.state == State.RUNNING:
            is_over, here = partial(self._endings.is_over, generation.id), self._generations.writes(generation.id)
            return self._streams.follow(generation.id, after=after, here=here, is_over=is_over)
        await self._endings.is_over(generation.id)
        return _each(await self._streams.read(generation.id, after=after))


async def _each(events: Iterable[pb.GenerationEvent]) -> AsyncGenerator[pb.GenerationEvent, None]:
    for event in events:
        yield event
