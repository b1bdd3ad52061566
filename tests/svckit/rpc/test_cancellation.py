"""A client that leaves must stop the work it asked for, through our own client interceptors too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from svckit import clients
from tests.svckit.probe import CREDENTIAL, DESCRIPTOR, ProbeServicer, Reply, Request, serving, stub


class Endless(ProbeServicer):
    """Says when a call has begun and when its handler was cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def Unary(self, request: Any, context: Any) -> Any:
        await self._wait()
        return Reply()

    async def Stream(self, request: Any, context: Any) -> Any:
        yield Reply(text="first")
        await self._wait()

    async def Repeatable(self, request: Any, context: Any) -> Any:
        return Reply(text="still here")

    async def _wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class Flooding(Endless):
    """Writes until the client reads no more, so that cancellation finds it in a write."""

    async def Stream(self, request: Any, context: Any) -> Any:
        try:
            while True:
                yield Reply(text="x" * 100_000)
                self.begun.set()
        finally:
            self.cancelled.set()


@asynccontextmanager
async def called(servicer: Endless) -> AsyncIterator[Any]:
    async with (
        serving(servicer) as started,
        clients.channel(started.address, services=[DESCRIPTOR], credential=CREDENTIAL) as channel,
    ):
        yield stub(channel)


async def test_cancelling_a_unary_call_cancels_its_handler() -> None:
    async with called(servicer := Endless()) as probe:
        call = probe.Unary(Request())
        await servicer.begun.wait()
        call.cancel()
        await servicer.cancelled.wait()

        assert (await probe.Repeatable(Request())).text == "still here"


async def test_cancelling_the_task_that_waits_for_a_call_cancels_its_handler() -> None:
    async def ask(probe: Any) -> Any:
        return await probe.Unary(Request())

    async with called(servicer := Endless()) as probe:
        task = asyncio.create_task(ask(probe))
        await servicer.begun.wait()
        task.cancel()
        await servicer.cancelled.wait()

        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_time_limit_around_a_call_cancels_its_handler() -> None:
    async with called(servicer := Endless()) as probe:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(probe.Unary(Request()), timeout=0.1)

        await servicer.cancelled.wait()


async def test_cancelling_a_stream_cancels_its_handler() -> None:
    async with called(servicer := Endless()) as probe:
        call = probe.Stream(Request())
        async for _ in call:
            break
        call.cancel()

        await servicer.cancelled.wait()


async def test_a_handler_blocked_in_a_write_is_cancelled() -> None:
    async with called(servicer := Flooding()) as probe:
        call = probe.Stream(Request())
        await servicer.begun.wait()
        call.cancel()

        await servicer.cancelled.wait()


async def test_a_channel_that_closes_cancels_what_it_asked_for() -> None:
    servicer = Endless()
    async with serving(servicer) as started:
        async with clients.channel(started.address, services=[DESCRIPTOR]) as channel:
            stub(channel).Unary(Request())
            await servicer.begun.wait()

        await servicer.cancelled.wait()
