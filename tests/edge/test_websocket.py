"""A WebSocket at the edge: policies hold for its handshake, and what goes wrong later is said in a frame."""

import json

import aiohttp
import pytest

CONVERSE = "/api/chat/ws"


async def test_a_service_that_is_away_ends_it_with_a_problem_and_its_code(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(CONVERSE) as socket:
        await socket.send_str("{}")
        frame, close = await socket.receive(), await socket.receive()

    assert socket._response.headers["X-Request-Id"] == json.loads(frame.data)["error"]["requestId"]
    assert json.loads(frame.data)["error"]["code"] == "unavailable"
    assert (close.type, close.data, close.extra) == (aiohttp.WSMsgType.CLOSE, 4014, "unavailable")


async def test_another_site_cannot_open_one_in_somebodys_name(http: aiohttp.ClientSession) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(CONVERSE, headers=headers)

    assert refused.value.status == 403


async def test_a_request_that_does_not_upgrade_is_told_to(http: aiohttp.ClientSession) -> None:
    async with http.get(CONVERSE) as response:
        problem = await response.json(content_type=None)

    assert (response.status, response.headers["Upgrade"], problem["code"]) == (426, "websocket", "upgrade_required")
