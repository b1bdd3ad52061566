"""A replica in a process of its own: one that can be killed."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatmesh.chat.v1.chat_pb2_grpc import ChatServiceStub

from chat_svc.settings import ChatSettings
from svckit import clients
from svckit.local.ports import free_port
from tests.chat_svc.conftest import SERVICES
from tests.chat_svc.user import User
from tests.waiting import PATIENCE


@asynccontextmanager
async def process_of(settings: ChatSettings) -> AsyncIterator[tuple[Process, User]]:
    """A replica in a process of its own, and a user who talks to it."""
    values = {name.upper(): str(value) for name, value in settings.model_dump().items() if value is not None}
    values["OPENAI_API_KEY"] = values["SERVICE_SECRET"] = ""
    values["LISTEN"] = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chat_svc", env=os.environ | values, stdout=DEVNULL
    )
    try:
        async with clients.channel(values["LISTEN"], services=SERVICES) as channel:
            async with asyncio.timeout(PATIENCE):
                await channel.channel_ready()
            yield process, User(ChatServiceStub(channel))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
