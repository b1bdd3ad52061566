"""RPCs over WebSockets: frames, closes, and who waits for whom."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMessage, WSMsgType, WSServerHandshakeError

from edge.transcoder import Call, Options
from tests.edge.transcoder.probe import Edge, serving
from tests.waiting import PATIENCE

FAILURE = {"code": 5, "message": "gone"}
HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture(scope="module")
async def beating(descriptors: bytes) -> AsyncIterator[Edge]:
    """The probe behind a transcoder that pings all the time and waits for nothing."""
    async with serving(descriptors, Options(heartbeat=0.05, patience=0.05)) as edge:
        yield edge


async def _rest(socket: ClientWebSocketResponse) -> list[Any]:
    """The messages that come until the server closes."""
    return [json.loads(message.data) async for message in socket]


async def _closed(socket: ClientWebSocketResponse) -> tuple[int, str, dict[str, Any]]:
    """The close code, the reason, and the problem in the last frame."""
    frames: list[WSMessage] = []
    while (message := await socket.receive()).type is WSMsgType.TEXT:
        frames.append(message)
    assert message.type is WSMsgType.CLOSE
    return message.data, message.extra or "", json.loads(frames[-1].data)["error"]


def _vanish(socket: ClientWebSocketResponse) -> None:
    """End the connection without a word."""
    connection = socket._response.connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()


async def test_a_server_stream_comes_in_text_frames_and_closes(edge: Edge) -> None:
    async with edge.socket("/s/count?count=2") as socket:
        assert await _rest(socket) == [{"value": 1}, {"value": 2}]
        assert socket.close_code == 1000


async def test_the_first_frame_is_the_body_where_the_rule_has_one(edge: Edge) -> None:
    async with edge.socket("/s/chat") as socket:
        await socket.send_str('{"count": 2}')

        assert await _rest(socket) == [{"value": 1}, {"value": 2}]


async def test_an_empty_first_frame_is_an_empty_message(edge: Edge) -> None:
    async with edge.socket("/s/chat") as socket:
        await socket.send_str("")

        assert await _rest(socket) == []
        assert socket.close_code == 1000


async def test_each_message_of_a_conversation_is_answered_before_the_next(edge: Edge) -> None:
    async with edge.socket("/t/converse/a") as socket:
        totals = []
        for value in (1, 2, 3):
            await socket.send_json({"value": value})
            totals.append((await socket.receive_json())["total"])
        await socket.send_str("")

        assert totals == [1, 3, 6]
        assert await _rest(socket) == []
        assert socket.close_code == 1000


async def test_path_and_query_are_bound_to_every_message(edge: Edge) -> None:
    async with edge.socket("/t/converse/a?value=7") as socket:
        await socket.send_json({"account": "mallory", "value": 1})
        await socket.send_json({"account": "mallory"})
        await socket.send_str("")

        last = (await _rest(socket))[-1]
    assert last == {"accounts": ["a", "a"], "total": 14}


async def test_a_body_clause_leaves_nothing_to_the_query(edge: Edge) -> None:
    async with edge.socket("/t/converse?value=7") as socket:
        await socket.send_json({"value": 1})

        assert (await socket.receive_json())["total"] == 1


async def test_a_client_stream_is_answered_once_it_ends(edge: Edge) -> None:
    async with edge.socket("/t/sum/a") as socket:
        await socket.send_json({"value": 1})
        await socket.send_json({"value": 2})
        await socket.send_str("")

        assert await _rest(socket) == [{"accounts": ["a", "a"], "total": 3}]


async def test_a_service_that_ends_early_closes_it(edge: Edge) -> None:
    async with edge.socket("/t/converse/a") as socket:
        await socket.send_json({"stop": True})

        assert await _rest(socket) == []
        assert socket.close_code == 1000


@pytest.mark.parametrize("path", ["/t/converse/a", "/t/sum/a", "/s/chat"])
async def test_an_error_of_the_service_is_a_frame_and_a_close_with_its_code(edge: Edge, path: str) -> None:
    async with edge.socket(path) as socket:
        await socket.send_json({"failure": FAILURE})

        code, reason, problem = await _closed(socket)
    assert (code, reason) == (4005, "not_found")
    assert (problem["status"], problem["detail"], problem["requestId"]) == (404, "gone", "r-1")


async def test_an_rpc_that_nobody_has_written_yet_is_a_501_in_a_frame(edge: Edge) -> None:
    async with edge.socket("/t/unserved") as socket:
        code, reason, problem = await _closed(socket)

    assert (code, reason, problem["status"]) == (4012, "unimplemented", 501)


async def test_a_message_text_is_never_a_reason(edge: Edge) -> None:
    async with edge.socket("/s/chat") as socket:
        await socket.send_json({"failure": {"code": 13, "message": "secret " * 50}})

        code, reason, _ = await _closed(socket)
    assert (code, reason) == (4013, "internal")


@pytest.mark.parametrize(
    ("frames", "code", "reason", "detail"),
    [
        (["{"], 1007, "malformed_json", "Message 1: "),
        ([b"\xff"], 1007, "malformed_json", "Message 1: "),
        (["{}", '{"value": "x"}'], 4003, "invalid_argument", "Message 2: value: "),
        (['{"nope": 1}'], 4003, "unknown_field", "Message 1: nope: "),
        (["", "{}"], 1008, "unexpected_message", "This RPC"),
    ],
)
async def test_a_frame_that_is_no_message_closes_and_says_why(
    edge: Edge, frames: list[str | bytes], code: int, reason: str, detail: str
) -> None:
    async with edge.socket("/t/converse/a") as socket:
        for frame in frames:
            data = frame if isinstance(frame, bytes) else frame.encode()
            await socket.send_frame(data, WSMsgType.TEXT)

        closed = await _closed(socket)
    assert closed[:2] == (code, reason)
    assert closed[2]["detail"].startswith(detail)


async def test_a_binary_frame_is_not_understood(edge: Edge) -> None:
    async with edge.socket("/t/converse/a") as socket:
        await socket.send_bytes(b"{}")

        assert (await _closed(socket))[:2] == (1003, "binary_frame")


async def test_a_stream_that_takes_no_messages_says_so(edge: Edge) -> None:
    async with edge.socket("/s/count?hang=true") as socket:
        await socket.send_str("{}")

        assert (await _closed(socket))[:2] == (1008, "unexpected_message")


async def test_a_first_message_that_does_not_come_ends_the_wait(beating: Edge) -> None:
    async with beating.socket("/s/chat") as socket:
        assert (await _closed(socket))[:2] == (1008, "message_too_slow")


async def test_a_message_larger_than_a_body_may_be_is_too_big(edge: Edge) -> None:
    async with edge.socket("/t/converse/a") as socket:
        await socket.send_str(json.dumps({"account": "x" * (2 << 20)}))

        message = await socket.receive()
    assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/s/count?count=x", 400, "invalid_argument"),
        ("/t/converse/%FF", 400, "malformed_url"),
        ("/nowhere", 404, "not_found"),
        ("/fail", 405, "method_not_allowed"),
    ],
)
async def test_what_is_wrong_before_the_handshake_is_a_plain_problem(
    edge: Edge, path: str, status: int, code: str
) -> None:
    answer = await edge.raw(HANDSHAKE % path.encode(), until=b"}")

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in answer
    assert b'"code":"%s"' % code.encode() in answer


@pytest.mark.parametrize(
    ("old", "new", "status", "header"),
    [
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 12", 426, b"Sec-WebSocket-Version: 13"),
        (b"Sec-WebSocket-Key: dGhl", b"Sec-WebSocket-Key: ", 400, b"application/problem+json"),
    ],
)
async def test_a_handshake_that_is_none_is_refused(
    edge: Edge, old: bytes, new: bytes, status: int, header: bytes
) -> None:
    answer = await edge.raw((HANDSHAKE % b"/s/count").replace(old, new), until=b"}")

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert header in answer


async def test_the_applications_headers_come_with_the_handshake(descriptors: bytes) -> None:
    async with (
        serving(descriptors, call=Call(stream_headers={"X-Request-Id": "r-2"})) as edge,
        edge.socket("/s/count", compress=15) as socket,
    ):
        response = socket._response

    assert response.headers["X-Request-Id"] == "r-2"
    assert "Sec-WebSocket-Extensions" not in response.headers


async def test_a_unary_rpc_does_not_mind_an_upgrade(edge: Edge) -> None:
    answers = await edge.raw((HANDSHAKE % b"/r/nothing") * 2 + b"GET /r/nothing HTTP/1.0\r\n\r\n")

    assert answers.count(b" 200 OK") == 3


async def test_a_handshake_is_known_by_its_connection_header_too(edge: Edge) -> None:
    with pytest.raises(WSServerHandshakeError):
        async with edge.socket("/r/nothing"):
            pass
    answer = await edge.raw((HANDSHAKE % b"/s/count?count=1").replace(b"keep-alive, Upgrade", b"close"))

    assert b'[{"value":1}' in answer


@pytest.mark.parametrize(("method", "path"), [("GET", "/t/converse/a"), ("POST", "/t/converse")])
async def test_a_conversation_over_plain_http_is_told_to_upgrade(edge: Edge, method: str, path: str) -> None:
    answer = await edge(method, path)

    assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
    assert answer.headers["Connection"].lower() == "upgrade"
    assert json.loads(answer.body)["code"] == "upgrade_required"


@pytest.mark.parametrize("path", ["/s/count?hang=true", "/t/converse/a"])
@pytest.mark.parametrize("politely", [True, False])
async def test_a_client_that_leaves_cancels_an_idle_rpc(edge: Edge, path: str, politely: bool) -> None:
    edge.seen.started.clear()
    edge.seen.ended.clear()
    socket = await edge.socket(path)
    if path.startswith("/t"):
        await socket.send_json({"hang": True})
    await edge.seen.started.wait()

    if politely:
        await socket.close()
    else:
        _vanish(socket)

    async with asyncio.timeout(PATIENCE):
        await edge.seen.ended.wait()


async def test_pings_go_both_ways(beating: Edge) -> None:
    async with beating.socket("/s/count?hang=true", autoping=False) as socket:
        await socket.ping(b"hello")
        ours, theirs = await socket.receive(), await socket.receive()
        while theirs.type is WSMsgType.PING:
            await socket.pong(theirs.data)
            theirs = await socket.receive()

    assert ours.type is WSMsgType.PING
    assert (theirs.type, theirs.data) == (WSMsgType.PONG, b"hello")


async def test_a_client_that_answers_no_ping_is_cut_off(beating: Edge) -> None:
    beating.seen.ended.clear()
    reader, writer = await beating.connect()
    writer.write(HANDSHAKE % b"/s/count?hang=true")

    async with asyncio.timeout(PATIENCE):
        await beating.seen.ended.wait()
        await reader.read()  # to the end of the connection
    writer.close()


async def test_a_client_that_answers_pings_may_be_silent_for_long(beating: Edge) -> None:
    async with beating.socket("/t/converse/a", autoping=False) as socket:
        for _ in range(10):
            await socket.pong((await socket.receive()).data)
        await socket.send_json({"value": 1})
        while (message := await socket.receive()).type is WSMsgType.PING:
            await socket.pong(message.data)

    assert json.loads(message.data)["total"] == 1


async def test_a_server_that_goes_away_says_so_and_cancels_the_rpcs(descriptors: bytes) -> None:
    async with serving(descriptors) as edge, edge.socket("/s/count?hang=true") as socket:
        await edge.seen.started.wait()

        await edge.transcoder.close()

        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1001, "going_away")
        async with asyncio.timeout(PATIENCE):
            await edge.seen.ended.wait()


async def test_a_client_that_does_not_read_holds_the_service_back(edge: Edge) -> None:
    edge.seen.sent = 0
    reader, writer = await edge.connect()
    writer.write(HANDSHAKE % b"/s/count?count=20000&padding=5000")
    await reader.readuntil(b"\r\n\r\n")

    sent = await edge.seen.sent_when_still()
    writer.transport.abort()

    assert sent < 4000


async def test_a_service_that_does_not_read_holds_the_client_back_and_it_may_still_leave(beating: Edge) -> None:
    beating.seen.ended.clear()
    text = json.dumps({"account": "x" * 50_000})
    given, before = 0, -1
    socket = await beating.socket("/t/converse/a")
    await socket.send_str('{"hang": true}')

    async def send() -> None:
        nonlocal given
        while True:
            await socket.send_str(text)
            given += 1

    sending = asyncio.create_task(send())
    while given != before or not given:  # until nothing moves any more
        before = given
        await asyncio.sleep(0.2)
    sending.cancel()
    await asyncio.wait([sending])
    _vanish(socket)

    async with asyncio.timeout(PATIENCE):
        await beating.seen.ended.wait()
    assert before < 1000


async def test_a_client_that_goes_away_while_it_is_held_back_cancels_the_rpc(edge: Edge) -> None:
    edge.seen.started.clear()
    edge.seen.ended.clear()
    socket = await edge.socket("/t/converse/a")
    await socket.send_json({"hang": True})
    for _ in range(10):
        await socket.send_json({"value": 1})
    await edge.seen.started.wait()

    await socket.close()

    async with asyncio.timeout(PATIENCE):
        await edge.seen.ended.wait()
