from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from svckit import clients, identity
from svckit.errors import Unavailable
from tests.svckit.probe import (
    CREDENTIAL,
    DESCRIPTOR,
    ProbeServicer,
    Reply,
    Request,
    bearer,
    calling,
    claims,
    serving,
    stub,
)


class Flaky(ProbeServicer):
    """Is unavailable twice, then answers."""

    def __init__(self) -> None:
        self.calls = 0

    async def Unary(self, request: Any, context: Any) -> Any:
        self.calls += 1
        if self.calls < 3:
            raise Unavailable("not yet")
        return Reply(text="answered")

    Repeatable = Unary


class Telling(ProbeServicer):
    """Answers which credentials a call came with."""

    async def Unary(self, request: Any, context: Any) -> Any:
        caller = identity.current()
        return Reply(text=f"{caller.user_id}/{caller.service}")


class Relaying(ProbeServicer):
    def __init__(self, next_: Any) -> None:
        self._next = next_

    async def Unary(self, request: Any, context: Any) -> Any:
        return await self._next.Unary(request)


async def test_a_call_that_may_run_twice_is_tried_again() -> None:
    async with (
        serving(servicer := Flaky()) as started,
        clients.channel(started.address, services=[DESCRIPTOR]) as channel,
    ):
        reply = await stub(channel).Repeatable(Request())

    assert (reply.text, servicer.calls) == ("answered", 3)


async def test_a_call_that_may_not_run_twice_is_not_tried_again() -> None:
    async with (
        serving(servicer := Flaky()) as started,
        clients.channel(started.address, services=[DESCRIPTOR]) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await stub(channel).Unary(Request())

    assert servicer.calls == 1


async def test_calls_spread_over_all_replicas() -> None:
    class Named(ProbeServicer):
        def __init__(self, name: str) -> None:
            self._name = name

        async def Unary(self, request: Any, context: Any) -> Any:
            return Reply(text=self._name)

    answers: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(serving(Named("first")))
        port = first.address.rpartition(":")[2]
        await stack.enter_async_context(serving(Named("second"), listen=f"127.0.0.2:{port}"))
        target = f"ipv4:127.0.0.1:{port},127.0.0.2:{port}"
        channel = await stack.enter_async_context(clients.channel(target, services=[DESCRIPTOR]))
        while answers.keys() != {"first", "second"}:
            answers[(await stub(channel).Unary(Request())).text] += 1
        for _ in range(100):
            answers[(await stub(channel).Unary(Request())).text] += 1

    assert min(answers.values()) >= 50


async def test_a_handlers_own_calls_carry_its_user_and_its_services_credential() -> None:
    said = claims()
    async with (
        serving(Telling()) as inner,
        clients.channel(inner.address, services=[DESCRIPTOR], credential=CREDENTIAL) as onwards,
        calling(Relaying(stub(onwards))) as probe,
    ):
        signed_in = await probe.Unary(Request(), metadata=bearer(said))
        nobody = await probe.Unary(Request())

    assert (signed_in.text, nobody.text) == (f"{said.user_id}/caller", "/caller")


async def test_a_token_that_did_not_count_is_not_passed_on() -> None:
    class Peeking(ProbeServicer):
        async def Unary(self, request: Any, context: Any) -> Any:
            return Reply(text=str(dict(context.invocation_metadata()).get("authorization")))

    async with (
        serving(Peeking()) as inner,
        clients.channel(inner.address, services=[DESCRIPTOR]) as onwards,
        calling(Relaying(stub(onwards))) as probe,
    ):
        reply = await probe.Unary(Request(), metadata=(("authorization", "Bearer forged"),))

    assert reply.text == "None"


async def test_what_the_caller_says_itself_wins() -> None:
    said = claims()
    async with (
        serving(Telling()) as started,
        clients.channel(started.address, services=[DESCRIPTOR]) as channel,
    ):
        reply = await stub(channel).Unary(Request(), metadata=bearer(said))

    assert reply.text == f"{said.user_id}/"


async def test_a_service_that_is_away_fails_at_once_and_is_found_again() -> None:
    async with AsyncExitStack() as stack:
        async with serving(Telling()) as started:
            channel = await stack.enter_async_context(clients.channel(started.address, services=[DESCRIPTOR]))
            await stub(channel).Unary(Request())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(channel).Unary(Request())
        async with serving(Telling(), listen=started.address):
            back = await stub(channel).Unary(Request(), wait_for_ready=True)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert back.text == "/"
