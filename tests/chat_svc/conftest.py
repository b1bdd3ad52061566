"""Two replicas of the chat service, as production starts them, with a fake provider behind OpenAI's wire."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import anthropic  # noqa: F401 -- the SDKs: importing them takes longer on a busy machine than a call's deadline
import google.genai  # noqa: F401
import openai  # noqa: F401
import pytest
from chatmesh.chat.v1 import chat_pb2
from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceStub
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer
from redis.asyncio import Redis

from chat_svc import app
from chat_svc.settings import ChatSettings
from svckit import clients, events
from svckit.events import Bus
from svckit.local import Engines
from tests.chat_svc.user import User
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceAsyncStub

SERVICES = [chat_pb2.DESCRIPTOR.services_by_name["ChatService"]]


@dataclass(frozen=True)
class Replica:
    """A running chat service."""

    settings: ChatSettings
    address: str
    stub: "ChatServiceAsyncStub"


Start = Callable[..., AbstractAsyncContextManager[Replica]]


@pytest.fixture
def provider(llmock_server: LLMockServer) -> LLMock:
    """The fake provider of the models, as it is without orders."""
    return LLMock(llmock_server).reset()


@pytest.fixture(scope="session")
async def settings(
    engines: Engines, new_database: Callable[[], Awaitable[str]], llmock_server: LLMockServer, auth_address: str
) -> ChatSettings:
    return ChatSettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "admin_listen": "127.0.0.1:0",
            "database_url": await new_database(),
            "redis_url": engines.redis_url,
            "nats_url": engines.nats_url,
            "auth_service_url": auth_address,
            "local_model_url": llmock_server.base_url(),
            "openai_api_key": "sk-test",
            "openai_base_url": llmock_server.base_url(),
            "anthropic_api_key": "sk-test",
            "anthropic_base_url": llmock_server.base_url("anthropic"),
            "google_api_key": "test",
            "google_base_url": llmock_server.base_url("gemini"),
            "model_retry_pause": 0.01,
            "titles_by_model": False,
        }
    )


@pytest.fixture(scope="session")
def start(settings: ChatSettings) -> Start:
    """Start a replica: the shared ones' settings, but for those that are given."""

    @asynccontextmanager
    async def started(**different: object) -> AsyncIterator[Replica]:
        own = ChatSettings.model_validate(settings.model_dump() | different)
        async with (
            app.serving(own) as serving,
            clients.channel(serving.address, services=SERVICES, timeout=timedelta(seconds=PATIENCE)) as channel,
        ):
            yield Replica(own, serving.address, ChatServiceStub(channel))

    return started


@pytest.fixture(scope="session")
async def one(start: Start) -> AsyncIterator[Replica]:
    async with start() as started:
        yield started


@pytest.fixture(scope="session")
async def other(start: Start) -> AsyncIterator[Replica]:
    async with start() as started:
        yield started


@pytest.fixture
def user(one: Replica, provider: LLMock) -> User:
    return User(one.stub)


@pytest.fixture
def stranger(one: Replica) -> User:
    return User(one.stub)


@pytest.fixture(scope="session")
async def bus(engines: Engines) -> AsyncIterator[Bus]:
    async with events.connected(engines.nats_url) as connected:
        await connected.jetstream()
        yield connected


@pytest.fixture
async def redis(engines: Engines) -> AsyncIterator[Redis]:
    async with Redis.from_url(engines.redis_url) as connected:
        yield connected
