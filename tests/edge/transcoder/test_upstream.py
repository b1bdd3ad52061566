"""Streams of requests over a real channel, where grpc.aio's own manners are traps."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from edge.transcoder import GrpcUpstream, UpstreamError
from tests.edge.transcoder import probe
from tests.edge.transcoder.probe import Messages, ProbeServicer
from tests.waiting import PATIENCE

SUM = f"/{probe.TERMS}/Sum"
CONVERSE = f"/{probe.TERMS}/Converse"
Call = Callable[[AsyncIterator[bytes]], Awaitable[list[Any]]]


class SourceError(Exception):
    """What a stream of requests may raise."""


@pytest.fixture(scope="module")
async def service(descriptors: bytes) -> AsyncIterator[tuple[ProbeServicer, GrpcUpstream]]:
    async with probe.service(descriptors) as (servicer, _, upstream):
        yield servicer, upstream


@pytest.fixture
def upstream(service: tuple[ProbeServicer, GrpcUpstream]) -> GrpcUpstream:
    return service[1]


@pytest.fixture(params=["client", "bidi"])
def call(request: pytest.FixtureRequest, upstream: GrpcUpstream, messages: Messages) -> Call:
    """Send requests to the RPC that answers once, or to the one that answers each; the sums that come back."""
    parse = messages["probe.v1.Subtotal"].FromString

    async def once(requests: AsyncIterator[bytes]) -> list[Any]:
        return [parse((await upstream.client_stream(SUM, requests, metadata=(), timeout=10)).body)]

    async def each(requests: AsyncIterator[bytes]) -> list[Any]:
        sums = []
        async with upstream.bidi_stream(CONVERSE, requests, metadata=(), timeout=10) as replies:
            while batch := await replies.read():
                sums += [parse(reply) for reply in batch]
        return sums

    return once if request.param == "client" else each


@pytest.fixture
def term(messages: Messages) -> Callable[..., bytes]:
    def made(value: int = 0, **fields: Any) -> bytes:
        result: bytes = messages["probe.v1.Term"](value=value, **fields).SerializeToString()
        return result

    return made


async def _each(*requests: bytes) -> AsyncIterator[bytes]:
    for request in requests:
        yield request


async def _endless(request: bytes) -> AsyncIterator[bytes]:
    yield request
    await asyncio.Event().wait()


async def test_all_requests_arrive_in_order(call: Call, term: Callable[..., bytes]) -> None:
    sums = await call(_each(term(1, account="a"), term(2, account="b"), term(3, account="c")))

    assert (sums[-1].total, list(sums[-1].accounts)) == (6, ["a", "b", "c"])


async def test_no_request_at_all_is_a_stream_too(call: Call) -> None:
    assert [found.total for found in await call(_each())] in ([0], [])


async def test_what_the_requests_raise_is_raised_and_cancels_the_rpc(
    call: Call, term: Callable[..., bytes], service: tuple[ProbeServicer, GrpcUpstream]
) -> None:
    seen = service[0].seen
    seen.started.clear()
    seen.ended.clear()

    async def requests() -> AsyncIterator[bytes]:
        yield term(hang=True)
        await seen.started.wait()
        raise SourceError

    with pytest.raises(SourceError):
        await call(requests())
    async with asyncio.timeout(PATIENCE):
        await seen.ended.wait()


async def test_a_service_that_ends_early_is_answered_though_requests_are_left(
    call: Call, term: Callable[..., bytes]
) -> None:
    async with asyncio.timeout(PATIENCE):
        assert [found.total for found in await call(_endless(term(stop=True)))] in ([0], [])


async def test_an_error_of_the_service_is_raised_though_requests_are_left(
    call: Call, term: Callable[..., bytes]
) -> None:
    with pytest.raises(UpstreamError, match="gone") as raised:
        await call(_endless(term(failure={"code": 5, "message": "gone"})))

    assert raised.value.code == 5


async def test_cancelling_the_caller_cancels_the_rpc(
    call: Call, term: Callable[..., bytes], service: tuple[ProbeServicer, GrpcUpstream]
) -> None:
    seen = service[0].seen
    seen.started.clear()
    seen.ended.clear()
    calling = asyncio.ensure_future(call(_endless(term(hang=True))))
    await seen.started.wait()

    calling.cancel()

    with pytest.raises(asyncio.CancelledError):
        await calling
    async with asyncio.timeout(PATIENCE):
        await seen.ended.wait()


async def test_requests_are_read_only_as_fast_as_the_service_takes_them(
    call: Call, term: Callable[..., bytes], service: tuple[ProbeServicer, GrpcUpstream]
) -> None:
    seen = service[0].seen
    seen.started.clear()
    given = 0

    async def requests() -> AsyncIterator[bytes]:
        nonlocal given
        yield term(hang=True)
        while True:
            given += 1
            yield term(account="x" * 65536)

    calling = asyncio.ensure_future(call(requests()))
    await seen.started.wait()
    before = -1
    while given != before:  # until nothing moves any more
        before = given
        await asyncio.sleep(0.2)
    calling.cancel()
    await asyncio.wait([calling])

    assert given < 200


async def test_a_service_that_nobody_serves_is_unimplemented() -> None:
    with pytest.raises(UpstreamError) as raised:
        await GrpcUpstream({}).client_stream(SUM, _each(), metadata=(), timeout=None)

    assert raised.value.code == 12


async def test_a_deadline_ends_a_stream_of_requests(upstream: GrpcUpstream, term: Callable[..., bytes]) -> None:
    with pytest.raises(UpstreamError) as raised:
        await upstream.client_stream(SUM, _endless(term(1)), metadata=(), timeout=0.05)

    assert raised.value.code == 4
