"""Who asks for reports in tests, and how they wait for figures."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from chatmesh.analytics.v1 import analytics_pb2 as pb
from google.protobuf.message import Message

from svckit import identity
from svckit.errors import ServiceError
from svckit.identity import Claims, Role, SigningKey
from svckit.ids import new_id
from svckit.rpc.status import received

if TYPE_CHECKING:
    from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceAsyncStub

T = TypeVar("T")
_PATIENCE_SECONDS = 60


class Analytics:
    """The service's stub, and whom it can be called as."""

    def __init__(self, stub: "AnalyticsServiceAsyncStub", key: SigningKey) -> None:
        self.stub = stub
        self._key = key
        # A test may have restarted the service: wait for it instead of being told that it was away.
        self._as_analyst: dict[str, Any] = {"metadata": self.bearer(Role.ANALYST), "wait_for_ready": True}

    def bearer(self, role: Role) -> tuple[tuple[str, str]]:
        claims = Claims(new_id(), new_id(), role, new_id(), datetime.now(UTC) + timedelta(hours=1))
        return (("authorization", f"Bearer {identity.mint(claims, self._key)}"),)

    async def growth(self, **request: str) -> pb.GetUserGrowthResponse:
        return await self.stub.GetUserGrowth(pb.GetUserGrowthRequest(**request), **self._as_analyst)

    async def active(self, **request: str) -> pb.GetActiveUsersResponse:
        return await self.stub.GetActiveUsers(pb.GetActiveUsersRequest(**request), **self._as_analyst)

    async def signups(self, **request: str) -> pb.GetSignupsResponse:
        return await self.stub.GetSignups(pb.GetSignupsRequest(**request), **self._as_analyst)

    async def chat(self, **request: str) -> pb.GetChatActivityResponse:
        return await self.stub.GetChatActivity(pb.GetChatActivityRequest(**request), **self._as_analyst)

    async def by_provider(self, **request: str) -> pb.GetChatByProviderResponse:
        return await self.stub.GetChatByProvider(pb.GetChatByProviderRequest(**request), **self._as_analyst)

    async def overview(self, **request: str) -> pb.GetOverviewResponse:
        return await self.stub.GetOverview(pb.GetOverviewRequest(**request), **self._as_analyst)


def days(first: date, last: date | None = None) -> dict[str, str]:
    """The fields of a request for those days."""
    return {"start_date": first.isoformat(), "end_date": (last or first).isoformat()}


def values(message: Message) -> dict[str, Any]:
    """All fields of a row but its date, those that are 0 included."""
    return {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields if field.name != "date"}


async def eventually(ask: Callable[[], Awaitable[T]], wanted: T, *, pause: float = 0.05) -> None:
    """Ask until the answer is the one that is wanted; show the last one when it never is."""
    got = await ask()
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while got != wanted:
                await asyncio.sleep(pause)
                got = await ask()

    assert got == wanted


async def refused(call: Awaitable[object]) -> ServiceError:
    """The error that the call ends with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return received(error)
    raise AssertionError(f"not refused: {answer}")
