"""The bytes of a completion as they come: an error before the first word is a status, a later one is in the stream."""

import asyncio
from collections.abc import AsyncGenerator

from chatmesh.chat.v1 import chat_pb2 as pb

from chat_svc.completions import writing
from chat_svc.completions.reading import Asked
from chat_svc.failures import error_of_code
from chat_svc.models import Generation
from svckit.errors import Unavailable

# Seconds of silence, before the first word too, after which something is sent: proxies hang up on what says nothing.
_SILENCE = 15.0
_WORDS = frozenset({"delta", "tool_call", "message_end"})


async def answers(
    events: AsyncGenerator[pb.GenerationEvent, None], generation: Generation, asked: Asked
) -> AsyncGenerator[bytes, None]:
    """The answer of a generation. Raises what a caller is told instead of it: see `failures`."""
    if not asked.stream:
        yield await writing.document(_good(events), generation)
        return
    chunks, begun = writing.Chunks(generation, asked), False
    async for event in _with_silences(events):
        kind = event.WhichOneof("event") if event else None
        if event and kind == "error" and not begun:
            raise error_of_code(event.error.code)
        if not begun and (event is None or kind in _WORDS):
            begun = True
            yield chunks.begin()
        if event is None:
            yield writing.PING
            continue
        for chunk in chunks.of(event):
            yield chunk


async def _good(events: AsyncGenerator[pb.GenerationEvent, None]) -> AsyncGenerator[pb.GenerationEvent, None]:
    """The events; raises what the answer ended with, if it is not whole."""
    async for event in events:
        if event.HasField("error"):
            raise error_of_code(event.error.code)
        if event.message_end.finish_reason in writing.STOPPED:
            raise Unavailable("the answer was stopped", reason="CANCELLED")
        yield event


async def _with_silences(
    events: AsyncGenerator[pb.GenerationEvent, None],
) -> AsyncGenerator[pb.GenerationEvent | None, None]:
    """The events, and None after each while in which none came."""
    while True:
        following = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait([following], timeout=_SILENCE))[0]:
                yield None
            event = following.result()
        finally:
            following.cancel()
            await asyncio.wait([following])  # or `events` could not be closed
        if event is None:
            return
        yield event
