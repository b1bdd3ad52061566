"""A browser that chats over one WebSocket, and what it does to its conversations by REST."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.journey.running import Mesh
from tests.journey.test_rest import PASSWORD, browser, get, post, token_in

WS = "/api/chat/ws"


@pytest.fixture
async def http(mesh: Mesh) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser that is signed in."""
    email = f"ws-{uuid.uuid4().hex[:8]}@example.com"
    async with await browser(mesh) as session:
        await post(session, "/api/auth/signup", email=email, password=PASSWORD)
        await post(session, "/api/auth/verify-email", token=token_in(await mesh.mail_to(email)))
        await post(session, "/api/auth/signin", email=email, password=PASSWORD)
        yield session


async def until_closed(socket: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    """All that comes, once the client has nothing more to ask."""
    await socket.send_str("")
    return [json.loads(frame.data) async for frame in socket]


async def start_of(http: aiohttp.ClientSession, **sent: str) -> dict[str, Any]:
    """Send a message over a WebSocket of its own and leave once it is accepted."""
    async with http.ws_connect(WS) as socket:
        await socket.send_json({"requestId": "1", "send": sent})
        first: dict[str, Any] = await socket.receive_json()
    start: dict[str, Any] = first["event"]["messageStart"]
    return start


async def test_one_socket_sends_is_refused_and_cancels(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(WS) as socket:
        await socket.send_json({"requestId": "1", "send": {"message": "Tell me a long story."}})
        started = await socket.receive_json()
        await socket.send_json({"requestId": "2", "send": {"message": ""}})
        await socket.send_json({"requestId": "3", "cancel": {"generationId": started["generationId"]}})
        frames = await until_closed(socket)

    by_request = {id_: [frame for frame in frames if frame["requestId"] == id_] for id_ in "123"}
    assert [violation["field"] for violation in by_request["2"][0]["refusal"]["violations"]] == ["send.message"]
    assert by_request["3"][0]["cancelled"]["state"] in ("STATE_CANCELLED", "STATE_DONE")
    assert "messageEnd" in by_request["1"][-1]["event"]
    assert socket.close_code == 1000


async def test_who_leaves_the_socket_finds_the_whole_answer_on_another(http: aiohttp.ClientSession) -> None:
    start = await start_of(http, message="Name a colour.")

    async with http.ws_connect(WS) as socket:
        await socket.send_json({"resume": {"generationId": start["generationId"], "after": "0"}})
        frames = await until_closed(socket)

    text = "".join(frame["event"].get("delta", {}).get("text", "") for frame in frames)
    listed = await get(http, f"/api/conversations/{start['conversationId']}/messages")
    assert "messageEnd" in frames[-1]["event"]
    assert listed["messages"][1]["text"] == text


async def test_a_conversation_is_renamed_found_edited_and_answered_again(http: aiohttp.ClientSession) -> None:
    start = await start_of(http, message="Name a colour.")
    path = f"/api/conversations/{start['conversationId']}"

    async with http.patch(path, json={"title": "Colours of the lighthouse", "archived": True}) as response:
        changed = (await response.json())["conversation"]
    found = await get(http, "/api/conversations:search?q=lighthouse")
    await post(http, f"/api/chat/generations/{start['generationId']}:cancel")
    begun = (await post(http, f"{path}/messages/{start['messageId']}:regenerate"))["generation"]
    edited = await start_of(http, conversationId=start["conversationId"], message="Name a shape.", parentId="")
    listed = (await get(http, f"{path}/messages"))["messages"]

    assert (changed["title"], changed["archived"]) == ("Colours of the lighthouse", True)
    assert [conversation["id"] for conversation in found["conversations"]] == [start["conversationId"]]
    assert begun["messageId"] != start["messageId"]
    assert [message["id"] for message in listed] == [edited["userMessageId"], edited["messageId"]]
