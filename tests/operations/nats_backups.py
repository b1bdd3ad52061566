"""What `nats stream backup` and `nats stream restore` do, by the API that they use."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client


@dataclass(frozen=True, slots=True)
class Backup:
    """A stream's name, what the server says of it, and its messages and consumers as the server packs them."""

    stream: str
    told: dict[str, Any]
    chunks: Sequence[bytes]


async def taken(client: Client, stream: str) -> Backup:
    inbox = client.new_inbox()
    arriving = await client.subscribe(inbox)
    told = await _asked(client, f"SNAPSHOT.{stream}", {"deliver_subject": inbox})
    chunks = []
    async for message in arriving.messages:
        if not message.data:  # the end
            break
        chunks.append(message.data)
        if message.reply:  # wanted now and then, so that the server sends no faster than this is read
            await message.respond(b"")
    await arriving.unsubscribe()
    return Backup(stream, {name: told[name] for name in ("config", "state")}, chunks)


async def restored(client: Client, backup: Backup) -> None:
    to = (await _asked(client, f"RESTORE.{backup.stream}", backup.told))["deliver_subject"]
    for chunk in backup.chunks:
        await client.request(to, chunk)
    answer = json.loads((await client.request(to, b"")).data)
    assert "error" not in answer, answer


async def _asked(client: Client, what: str, told: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        (await client.request(f"$JS.API.STREAM.{what}", json.dumps(told).encode())).data
    )
    assert "error" not in answer, answer
    return answer
