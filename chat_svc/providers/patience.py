"""How long a provider may take, and when it is asked again: the same for all of them."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

import structlog

from chat_svc.models import FinishReason
from chat_svc.providers import CallPiece, Finish, Part, Prompt, Provider, ProviderError, Text

log = structlog.get_logger(__name__)

# What may be over by the next attempt.
_PASSING = frozenset({"rate_limited", "upstream_unavailable", "upstream_timeout", "upstream_truncated"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a provider may take for each thing.

    `first_token` is the time to the first text, all attempts and the pauses between them included; `idle` the time
    between two parts after it, `total` that of the whole answer.
    """

    connect: timedelta = timedelta(seconds=5)
    first_token: timedelta = timedelta(seconds=120)
    idle: timedelta = timedelta(seconds=30)
    total: timedelta = timedelta(minutes=10)
    # Before each further attempt, unless the provider asks for more.
    pauses: tuple[timedelta, ...] = (timedelta(seconds=0.5), timedelta(seconds=2))


class Patient:
    """A provider that is asked again while it fails before its first words, and given up when it takes too long."""

    def __init__(self, wire: Provider, *, patience: Patience) -> None:
        self._wire = wire
        self._patience = patience

    async def answer(self, prompt: Prompt) -> AsyncGenerator[Sequence[Part], None]:
        """The parts of an answer; see `Provider`. After the first text or tool call there is no further attempt."""
        watch = _Watch(self._patience)
        for pause in (*self._patience.pauses, None):
            try:
                async with aclosing(self._wire.answer(prompt)) as answered:
                    while parts := await watch.next(answered):
                        yield parts
                watch.check_end()
                return
            except ProviderError as error:
                seconds = watch.pause_after(error, pause)
                log.info("a provider is asked again", error=str(error), model=prompt.model, after_seconds=seconds)
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Give the connections back."""
        await self._wire.close()


class _Watch:
    """Watches over one answer, through all attempts at it."""

    def __init__(self, patience: Patience) -> None:
        self._clock = asyncio.get_running_loop().time
        self._idle = patience.idle.total_seconds()
        self._end = self._clock() + patience.total.total_seconds()
        self._deadline = min(self._clock() + patience.first_token.total_seconds(), self._end)
        self._started = False
        self._finish: FinishReason | None = None

    async def next(self, answered: AsyncGenerator[Sequence[Part], None]) -> Sequence[Part]:
        """The next parts; none at the end of the stream. Raises ProviderError when they do not come in time.

        Time counts from here, so that whoever was slow to ask for them has as much of it.
        """
        if self._started:
            self._deadline = min(self._clock() + self._idle, self._end)
        try:
            async with asyncio.timeout_at(self._deadline):
                parts = await anext(answered, None) or ()
        except TimeoutError as error:
            raise ProviderError("upstream_timeout", "nothing came in time") from error
        for part in parts:
            if isinstance(part, Text | CallPiece):
                self._started = True
            elif isinstance(part, Finish):
                self._finish = part.reason
        return parts

    def check_end(self) -> None:
        """Raises ProviderError when the stream has ended without an answer."""
        if self._finish is None:
            raise ProviderError("upstream_truncated", "the stream ended without a finish reason")
        if self._finish is FinishReason.CONTENT_FILTER and not self._started:
            raise ProviderError("content_filtered", "the filter left nothing of the answer")

    def pause_after(self, error: ProviderError, pause: timedelta | None) -> float:
        """Seconds until the next attempt. Raises the error when there must be none."""
        if self._started and error.code == "upstream_unavailable":
            raise ProviderError("upstream_truncated", str(error)) from error
        if self._started or pause is None or error.code not in _PASSING:
            raise error
        jitter = random.uniform(0.5, 1)  # noqa: S311 -- keeps replicas apart, guards nothing
        seconds = max(pause.total_seconds() * jitter, error.retry_after.total_seconds())
        if self._clock() + seconds >= self._deadline:
            raise error
        self._finish = None
        return seconds
