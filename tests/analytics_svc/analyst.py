"""Who asks for reports, and how they wait for figures."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

from chatmesh.analytics.v1 import analytics_pb2 as pb
from google.protobuf.message import Message

from svckit.events import Bus, Event
from svckit.identity import Role
from svckit.ids import new_id
from tests.callers import signed_in
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from chatmesh.analytics.v1.analytics_pb2_grpc import AnalyticsServiceAsyncStub

T = TypeVar("T")


class Analytics:
    """The service's stub, and whom it can be called as."""

    def __init__(self, stub: "AnalyticsServiceAsyncStub") -> None:
        self.stub = stub
        # A test may have restarted the service: wait for it instead of being told that it was away.
        self._as_analyst: dict[str, Any] = {"metadata": signed_in(new_id(), role=Role.ANALYST), "wait_for_ready": True}

    async def ask(self, rpc: str, **request: str | int) -> Any:
        """The answer of an RPC by its name."""
        message = getattr(pb, f"{rpc}Request")(**request)
        return await getattr(self.stub, rpc)(message, **self._as_analyst)

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
        async with asyncio.timeout(PATIENCE):
            while got != wanted:
                await asyncio.sleep(pause)
                got = await ask()

    assert got == wanted


async def publish_all(bus: Bus, happened: Sequence[Event]) -> None:
    """Have all of it in the stream: what was not acknowledged in time is sent again, which is the same as once."""

    async def failures() -> bool:
        return any(await bus.publish_all(happened))

    await eventually(failures, False)
