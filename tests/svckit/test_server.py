import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, TypeAlias

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from svckit import clients, server
from tests.svckit.probe import DESCRIPTOR, ProbeServicer, Reply, Request, calling, pb2_grpc, serving, stub

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

# Their stubs are typed without methods.
health_of: Any = health_pb2_grpc.HealthStub
Reflect: TypeAlias = (
    "grpc.aio.StreamStreamMultiCallable["
    "reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse]"
)


class Named(ProbeServicer):
    """Answers its name; holds a call that asks for it until let go."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()

    async def Unary(self, request: Any, context: Any) -> Any:
        if request.text == "wait":
            self.begun.set()
            await self.let_go.wait()
        return Reply(text=self.name)

    async def Stream(self, request: Any, context: Any) -> Any:
        self.begun.set()
        await self.let_go.wait()
        yield Reply(text=self.name)


async def test_health_answers_for_the_process_and_for_each_of_its_services() -> None:
    async with serving(Named()) as started, grpc.aio.insecure_channel(started.address) as channel:
        health = health_of(channel)
        answers = [
            (await health.Check(health_pb2.HealthCheckRequest(service=service))).status
            for service in ("", "kitprobe.v1.ProbeService")
        ]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))
        unknown = await health.Watch(health_pb2.HealthCheckRequest(service="no.such.Service")).read()

    assert answers == [SERVING, SERVING]
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert unknown.status == SERVICE_UNKNOWN


async def test_health_is_answered_when_the_server_is_full() -> None:
    async with calling(Named(), max_concurrent=0) as probe, AsyncExitStack() as stack:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await probe.Unary(Request())
        started = await stack.enter_async_context(serving(Named(), max_concurrent=0))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(started.address))
        answer = await health_of(channel).Check(health_pb2.HealthCheckRequest())

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answer.status == SERVING


async def test_whoever_watches_health_hears_that_the_server_stops_and_does_not_hold_it_up() -> None:
    async with serving(Named(), grace=timedelta(minutes=5)) as started:
        channel = grpc.aio.insecure_channel(started.address)
        watch = health_of(channel).Watch(health_pb2.HealthCheckRequest())
        first = await watch.read()
    statuses = [message.status for message in (first, await watch.read()) if message is not grpc.aio.EOF]
    await channel.close()

    assert statuses == [SERVING, NOT_SERVING]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_the_services(version: str) -> None:
    async with serving(Named()) as started, grpc.aio.insecure_channel(started.address) as channel:
        reflect: Reflect = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [answer async for answer in reflect(iter([ask]))]

    listed = {service.name for service in answers[0].list_services_response.service}
    assert {"kitprobe.v1.ProbeService", "grpc.health.v1.Health"} <= listed


async def test_a_stop_lets_running_calls_finish() -> None:
    servicer = Named("finished")
    async with AsyncExitStack() as stack:
        async with serving(servicer) as started:
            channel = await stack.enter_async_context(clients.channel(started.address, services=[DESCRIPTOR]))
            call = asyncio.ensure_future(_ask(channel, "wait"))
            await servicer.begun.wait()
            asyncio.get_running_loop().call_later(0.2, servicer.let_go.set)

        assert await call == "finished"


async def test_a_stop_ends_what_does_not_finish_within_the_grace() -> None:
    servicer = Named()
    async with AsyncExitStack() as stack:
        async with serving(servicer, grace=timedelta(milliseconds=100)) as started:
            channel = await stack.enter_async_context(clients.channel(started.address, services=[DESCRIPTOR]))
            call = stub(channel).Stream(Request())
            await servicer.begun.wait()

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def _ask(channel: grpc.aio.Channel, text: str = "") -> str:
    return str((await stub(channel).Unary(Request(text=text))).text)


async def test_a_replica_that_stops_takes_no_call_down_with_it() -> None:
    """Two replicas, callers that never pause, one replica stopping in the middle: every call is answered."""
    answers: Counter[str] = Counter()
    both, enough = asyncio.Event(), asyncio.Event()

    async def call_on_and_on(channel: grpc.aio.Channel) -> None:
        while not enough.is_set():
            answers[await _ask(channel)] += 1
            if {"first", "second"} <= answers.keys():
                both.set()
            elif both.is_set() and answers.total() > 100:
                enough.set()

    async with AsyncExitStack() as leaving, AsyncExitStack() as staying:
        first = await leaving.enter_async_context(serving(Named("first"), lame_duck=timedelta(milliseconds=250)))
        port = first.address.rpartition(":")[2]
        await staying.enter_async_context(serving(Named("second"), listen=f"127.0.0.2:{port}"))
        target = f"ipv4:127.0.0.1:{port},127.0.0.2:{port}"
        channel = await staying.enter_async_context(clients.channel(target, services=[DESCRIPTOR]))
        async with asyncio.TaskGroup() as callers:
            for _ in range(10):
                callers.create_task(call_on_and_on(channel))
            await both.wait()
            await leaving.aclose()
            answers.clear()

    assert answers.keys() == {"second"}


class Silent(ProbeServicer):
    async def Stream(self, request: Any, context: Any) -> Any:
        await asyncio.sleep(8)
        yield Reply(text="alive")


async def silent_stream(*, min_ping_interval: timedelta) -> str:
    """Wait for one late message with a ping a second, and say how that ended."""
    silent = grpc.aio.server(options=server.options(min_ping_interval=min_ping_interval))
    pb2_grpc.add_ProbeServiceServicer_to_server(Silent(), silent)
    port = silent.add_insecure_port("127.0.0.1:0")
    await silent.start()
    pings = [("grpc.keepalive_time_ms", 1000), ("grpc.http2.max_pings_without_data", 0)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=pings) as channel:
        try:
            return str((await stub(channel).Stream(Request()).read()).text)
        except grpc.aio.AioRpcError as error:
            return error.details() or ""
        finally:
            await silent.stop(None)


@pytest.mark.slow
async def test_a_silent_stream_outlives_its_clients_pings() -> None:
    """Pings half as often as the option allows, as in production but faster; and that it is this option which does."""
    allowed, refused = await asyncio.gather(
        silent_stream(min_ping_interval=timedelta(milliseconds=500)),
        silent_stream(min_ping_interval=timedelta(minutes=5)),
    )

    assert (allowed, refused) == ("alive", "Too many pings")


async def test_a_port_that_is_taken_stops_the_start() -> None:
    async with serving(Named()) as started, AsyncExitStack() as stack:
        with pytest.raises(RuntimeError, match="bind"):
            await stack.enter_async_context(serving(Named(), listen=started.address))


async def test_the_admin_port_serves_beside_grpc() -> None:
    async with (
        serving(Named(), admin_listen="127.0.0.1:0") as started,
        aiohttp.ClientSession() as http,
        http.get(f"{started.admin_url}/health") as response,
    ):
        body = await response.json()

    assert body == {"name": "probe", "status": "ok", "checks": {}}
