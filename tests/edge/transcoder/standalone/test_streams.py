"""Streams through `python -m edge.transcoder`: WebSockets, events, and files in chunks."""

import signal
from pathlib import Path

from aiohttp import WSCloseCode, WSMsgType

from tests.edge.transcoder.standalone import services
from tests.edge.transcoder.standalone.program import Program, running
from tests.edge.transcoder.standalone.services import Messaging


async def test_a_conversation_is_served_over_a_websocket(messaging: Program) -> None:
    async with messaging.socket("/v1/rooms/a:talk") as socket:
        await socket.send_str('{"text": "hello"}')
        answer = await socket.receive_json()
        await socket.send_str("")
        end = await socket.receive()

    assert answer == {"room": "rooms/a", "text": "hello"}
    assert (end.type, end.data) == (WSMsgType.CLOSE, WSCloseCode.OK)


async def test_a_conversation_asks_a_plain_request_to_upgrade(messaging: Program) -> None:
    answer = await messaging("GET", "/v1/rooms/a:talk")

    assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")


async def test_a_recording_goes_up_and_down_in_chunks_as_it_is(messaging: Program) -> None:
    sound = bytes(range(256)) * 4000

    sent = await messaging.json("PUT", "/v1/rooms/b/recording", sound, Content_Type="audio/ogg")
    answer = await messaging("GET", "/v1/rooms/b/recording")
    missing = await messaging("GET", "/v1/rooms/c/recording")

    assert sent == {"room": "rooms/b", "size": str(len(sound))}
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "audio/ogg", sound)
    assert missing.status == 404


async def test_open_streams_do_not_outlive_the_grace(sets: dict[str, Path]) -> None:
    async with (
        services.serving(sets["messaging"].read_bytes(), Messaging) as upstream,
        running("--descriptor-set", str(sets["messaging"]), "--upstream", upstream, "--grace", "0.1") as program,
        program.socket("/v1/rooms/a:talk") as talk,
        program.stream("/v1/rooms/a:listen", accept="text/event-stream") as events,
    ):
        first = await events.content.readuntil(b"\n\n")

        program.signal(signal.SIGTERM)
        goodbye = await talk.receive()
        ended = await program.ended()

    assert first == b'data: {"room":"rooms/a","text":"welcome"}\n\n'
    assert goodbye.data == WSCloseCode.GOING_AWAY
    assert (ended.status, ended.err) == (0, "")
