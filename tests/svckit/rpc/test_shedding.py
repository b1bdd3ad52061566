import asyncio
from collections import Counter
from typing import Any

import grpc

from svckit.rpc.status import received
from tests.svckit.probe import ProbeServicer, Reply, Request, calling


class Busy(ProbeServicer):
    """Holds every call until it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.holding = 0
        self.full = asyncio.Event()

    async def Unary(self, request: Any, context: Any) -> Any:
        await self._hold()
        return Reply()

    async def Stream(self, request: Any, context: Any) -> Any:
        await self._hold()
        yield Reply()

    async def _hold(self) -> None:
        self.holding += 1
        if self.holding == 2:
            self.full.set()
        await self.let_go.wait()


async def outcome(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        told = received(error)
        return f"{error.code().name} {told.reason} {'retry' if told.retry_after else ''}".strip()
    return "OK"


async def test_two_thousand_calls_at_once_are_each_answered_or_told_to_come_back() -> None:
    class Quick(ProbeServicer):
        async def Unary(self, request: Any, context: Any) -> Any:
            await asyncio.sleep(0.01)
            return Reply()

    async with calling(Quick(), max_concurrent=100) as probe:
        outcomes = Counter(await asyncio.gather(*(outcome(probe.Unary(Request())) for _ in range(2000))))

    assert outcomes.keys() <= {"OK", "RESOURCE_EXHAUSTED OVERLOADED retry"}
    assert outcomes["OK"] >= 100


async def test_two_thousand_calls_waiting_at_once_all_succeed_when_there_is_room() -> None:
    class Patient(Busy):
        async def _hold(self) -> None:
            self.holding += 1
            if self.holding == 2000:
                self.let_go.set()
            await self.let_go.wait()

    async with calling(Patient(), max_concurrent=2000) as probe:
        outcomes = Counter(await asyncio.gather(*(outcome(probe.Unary(Request())) for _ in range(2000))))

    assert outcomes == {"OK": 2000}


async def test_a_full_server_refuses_and_takes_calls_again_afterwards() -> None:
    servicer = Busy()
    async with calling(servicer, max_concurrent=2) as probe:
        held = [asyncio.ensure_future(outcome(probe.Unary(Request()))) for _ in range(2)]
        await servicer.full.wait()
        refused = await outcome(probe.Unary(Request()))
        servicer.let_go.set()
        await asyncio.gather(*held)

        assert refused == "RESOURCE_EXHAUSTED OVERLOADED retry"
        assert await outcome(probe.Unary(Request())) == "OK"


async def test_open_streams_leave_room_for_unary_calls() -> None:
    servicer = Busy()
    async with calling(servicer, max_concurrent=2) as probe:
        streams = [probe.Stream(Request()) for _ in range(2)]
        await servicer.full.wait()
        servicer.let_go.set()

        assert await outcome(probe.Unary(Request())) == "OK"
        for stream in streams:
            stream.cancel()


async def test_calls_that_were_cancelled_give_their_room_back() -> None:
    servicer = Busy()
    async with calling(servicer, max_concurrent=2) as probe:
        calls = [probe.Unary(Request()) for _ in range(2)]
        await servicer.full.wait()
        for call in calls:
            call.cancel()
        servicer.let_go.set()

        while await outcome(probe.Unary(Request())) != "OK":
            continue
