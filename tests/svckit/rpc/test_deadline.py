import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest

from svckit import clients, errors, rpc
from svckit.rpc import deadline
from svckit.rpc.call import Call, Rpc
from svckit.rpc.status import received
from tests.svckit.probe import DESCRIPTOR, ProbeServicer, Reply, Request, calling, serving, stub


class Telling(ProbeServicer):
    """Answers how long it may take."""

    async def Unary(self, request: Any, context: Any) -> Any:
        return Reply(text=str(rpc.remaining()))

    async def Patient(self, request: Any, context: Any) -> Any:
        return Reply(text=str(rpc.remaining()))

    async def Stream(self, request: Any, context: Any) -> Any:
        yield Reply(text=str(rpc.remaining()))


class Relaying(Telling):
    """Asks another server, and answers what that one said."""

    def __init__(self, next_: Any) -> None:
        self._next = next_

    async def Unary(self, request: Any, context: Any) -> Any:
        return await self._next.Unary(request)

    async def Repeatable(self, request: Any, context: Any) -> Any:
        return Reply(text=(await self._next.Stream(request).read()).text)

    async def Collect(self, requests: Any, context: Any) -> Any:
        async def outlive() -> Any:
            return await self._next.Unary(Request())

        return await asyncio.create_task(outlive(), context=rpc.detached())


@asynccontextmanager
async def relayed(**options: Any) -> AsyncIterator[Any]:
    async with (
        serving(Telling()) as inner,
        clients.channel(inner.address, services=[DESCRIPTOR], **options) as channel,
        calling(Relaying(stub(channel))) as probe,
    ):
        yield probe


async def test_a_unary_call_without_a_deadline_gets_the_default() -> None:
    async with calling(Telling()) as probe:
        left = float((await probe.Unary(Request())).text)

    assert 14 < left <= 15


async def test_a_unary_call_without_a_deadline_may_take_as_long_as_its_contract_says() -> None:
    async with calling(Telling()) as probe:
        left = float((await probe.Patient(Request())).text)

    assert 59 < left <= 60


async def test_a_handler_sees_its_clients_deadline() -> None:
    async with calling(Telling()) as probe:
        left = float((await probe.Unary(Request(), timeout=60)).text)

    assert 50 < left <= 60


async def test_a_stream_without_a_deadline_has_none() -> None:
    async with calling(Telling()) as probe:
        reply = await probe.Stream(Request()).read()

    assert reply.text == "None"


async def test_a_call_made_by_a_handler_ends_a_little_before_the_handlers_own_deadline() -> None:
    async with relayed() as probe:
        left = float((await probe.Unary(Request(), timeout=5)).text)
        left_of_stream = float((await probe.Repeatable(Request(), timeout=5)).text)

    on_the_wire = 4.98  # 5 s less 50 ms, which gRPC rounds up to hundredths at each of two servers
    assert 0 < left <= on_the_wire
    assert 0 < left_of_stream <= on_the_wire


async def test_a_call_made_by_a_handler_never_gets_more_than_the_channels_default() -> None:
    async with relayed(timeout=timedelta(seconds=3)) as probe:
        left = float((await probe.Unary(Request(), timeout=60)).text)

    assert left <= 3


async def test_work_detached_from_its_call_is_free_of_its_deadline() -> None:
    async with relayed(timeout=timedelta(seconds=30)) as probe:
        left = float((await probe.Collect(iter([Request()]), timeout=5)).text)

    assert left > 20


async def test_without_time_left_a_call_fails_at_once_and_reaches_nobody() -> None:
    async with relayed() as probe:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await probe.Unary(Request(), timeout=0.04)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_unary_call_that_outlasts_its_contract_is_ended_by_the_server() -> None:
    class NoDeadline:
        def time_remaining(self) -> None:
            return None

    call = Call(Rpc("kitprobe.v1.ProbeService/Unary", 1, timeout=0.01), NoDeadline(), {})  # type: ignore[arg-type]
    with pytest.raises(errors.DeadlineExceeded):
        async with deadline.limited(call):
            await asyncio.Event().wait()


async def test_a_handlers_own_timeout_is_not_taken_for_the_deadline() -> None:
    class TimingOut(ProbeServicer):
        async def Unary(self, request: Any, context: Any) -> Any:
            raise TimeoutError

    async with calling(TimingOut()) as probe:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await probe.Unary(Request())

    assert isinstance(received(caught.value), errors.Internal)
