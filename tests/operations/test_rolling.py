"""A new version is rolled out while people work: every replica stops and starts again, and nobody notices."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from chatmesh.chat.v1 import chat_pb2
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceStub
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from svckit import clients
from svckit.local import Home
from tests.operations.replicas import ADMINISTRATOR, PASSWORD, Cluster, running
from tests.waiting import until

# What goes on all the time: reads, and writes that no client may repeat by itself.
CALLS: tuple[tuple[str, str, Mapping[str, object] | None], ...] = (
    ("GET", "/api/auth/me", None),
    ("PATCH", "/api/auth/me", {"name": "Root"}),
    ("GET", "/api/conversations", None),
    ("POST", "/api/conversations", {"title": "Rolling"}),
    ("GET", "/api/billing/plans", None),
    ("GET", "/api/billing/subscriptions", None),
    ("GET", "/api/analytics/overview", None),
    ("GET", "/api/analytics/users/growth", None),
)
SERVES = {"auth": "GetMe", "chat": "ListConversations", "billing": "ListPlans", "analytics": "GetOverview"}
LONG = "word " * 350  # in pieces every 20 ms: seven seconds, which is longer than STOP_GRACE
READERS = 4
WRITERS = 6  # of each kind, so that some are always on their way to the replica that stops
PAUSE = 0.05  # seconds between two calls of a kind, so that there is some processor left to restart with
_CHAT = [chat_pb2.DESCRIPTOR.services_by_name["ChatService"]]


@dataclass
class Reading:
    """What somebody has read of an answer, connecting again whenever the stream breaks off, as a browser does."""

    events: list[dict[str, object]] = field(default_factory=list)
    connections: int = 0

    @property
    def over(self) -> bool:
        return bool(self.events) and ("messageEnd" in self.events[-1] or "error" in self.events[-1])

    @property
    def text(self) -> str:
        deltas = [event["delta"] for event in self.events if "delta" in event]
        return "".join(delta["text"] for delta in deltas if isinstance(delta, dict))

    async def follow(self, http: aiohttp.ClientSession, generation_id: str) -> None:
        while not self.over:
            self.connections += 1
            headers = {"Accept": "text/event-stream"}
            if self.events:
                headers["Last-Event-ID"] = str(self.events[-1]["sequence"])
            async with http.get(f"/api/chat/generations/{generation_id}/stream", headers=headers) as answer:
                assert answer.status == 200, await answer.text()
                await self.read(answer)

    async def read(self, answer: aiohttp.ClientResponse) -> None:
        async for line in answer.content:
            if line.startswith(b"event: error"):
                return
            if line.startswith(b"data:"):
                self.events.append(json.loads(line[5:])["event"])


@pytest.mark.timeout(400)  # seventeen starts of processes, which a busy machine takes its time for
async def test_no_call_fails_and_no_stream_is_lost_while_every_replica_is_restarted(
    tmp_path: Path, llmock_server: LLMockServer
) -> None:
    provider = LLMock(llmock_server).reset()
    provider.reply(LONG).pace(20)
    async with (
        Home.opened(tmp_path) as home,
        running(home, model_url=llmock_server.base_url()) as cluster,
        aiohttp.ClientSession(cluster.url) as http,
    ):
        http.headers["Authorization"] = f"Bearer {await token(http)}"
        async with load(http) as found:
            readings = [Reading() for _ in range(READERS)]
            generation = await begin(cluster.replicas["chat"][0].address, http.headers["Authorization"])
            following = [asyncio.create_task(reading.follow(http, generation)) for reading in readings]
            await until(lambda: all_reading(readings))
            await roll(cluster, 1)
            await asyncio.gather(*following)
            async with conversing(http) as answers:
                await roll(cluster, 0)

    assert found.failures == []
    assert all(found.done[f"{method} {path}"] > 5 for method, path, _ in CALLS), found.done
    for reading in readings:
        assert [event["sequence"] for event in reading.events] == [str(n) for n in range(len(reading.events))]
        assert (reading.text, "messageEnd" in reading.events[-1]) == (LONG, True)
    assert max(reading.connections for reading in readings) > 1
    assert [answer for answer in answers if "messageEnd" not in answer.events[-1]] == []
    assert len(answers) > 1


async def roll(cluster: Cluster, number: int) -> None:
    """Restart one replica of every service, all at the same time."""
    await asyncio.gather(*(both[number].roll(serves=SERVES[name]) for name, both in cluster.replicas.items()))


@dataclass
class Found:
    """How often each call was answered, and what was said when it failed."""

    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@asynccontextmanager
async def load(http: aiohttp.ClientSession) -> AsyncIterator[Found]:
    """Make each of the calls again and again during the block."""
    found, over = Found(), asyncio.Event()

    async def keep_calling(method: str, path: str, body: Mapping[str, object] | None) -> None:
        while not over.is_set():
            async with http.request(method, path, json=body) as answer:
                found.done[f"{method} {path}"] += 1
                if answer.status >= 300:
                    found.failures.append(f"{method} {path}: {await answer.text()}")
            await asyncio.sleep(PAUSE)

    async with asyncio.TaskGroup() as group:
        for method, path, body in CALLS:
            for _ in range(1 if method == "GET" else WRITERS):
                group.create_task(keep_calling(method, path, body))
        yield found
        over.set()


@asynccontextmanager
async def conversing(http: aiohttp.ClientSession) -> AsyncIterator[list[Reading]]:
    """Ask for one short answer after the other during the block, and read each as it is written."""
    answers: list[Reading] = []
    over = asyncio.Event()

    async def converse() -> None:
        while not over.is_set():
            answers.append(Reading())
            headers = {"Accept": "text/event-stream"}
            async with http.post("/api/chat", json={"message": "Go on."}, headers=headers) as answer:
                await answers[-1].read(answer)

    async with asyncio.TaskGroup() as group:
        group.create_task(converse())
        yield answers
        over.set()


async def all_reading(readings: list[Reading]) -> bool:
    return all(reading.events for reading in readings)


async def begin(address: str, authorization: str) -> str:
    """Have this replica write an answer, and leave it alone; gives the generation's id."""
    async with clients.channel(address, services=_CHAT) as channel:
        request = chat_pb2.StreamMessageRequest(message="Say much.")
        call = ChatServiceStub(channel).StreamMessage(request, metadata=(("authorization", authorization),))
        async for answer in call:
            return answer.event.message_start.generation_id
    raise AssertionError("nothing was begun")


async def token(http: aiohttp.ClientSession) -> str:
    async with http.post("/api/auth/signin", json={"email": ADMINISTRATOR, "password": PASSWORD}) as answer:
        return str((await answer.json())["tokens"]["accessToken"])
