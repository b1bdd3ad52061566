"""A model's provider for measurements: OpenAI's wire, the first token at once, the others at a fixed pace.

`python -m bench.slow_provider PORT PACE`: answers of PACE tokens a second, of so many as the question asks for in the
words "200 tokens". It looks at no more of a request and makes no token twice, so that the machine is left to what is
measured.
"""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from typing import cast

import uvloop

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_ASKED = re.compile(rb"(\d+) tokens")
_MOST = 2000  # tokens of an answer
_READY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def token(number: int) -> str:
    """The text of a token: each is another, so that one that is lost is missed."""
    return f"w{number} "


def _event(*, text: str = "", finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    members = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return _chunk(b"data: " + json.dumps(members).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class _Connection(asyncio.Protocol):
    """One request at a time; the answer goes on until it is whole or the client has gone."""

    def __init__(self, tokens: Sequence[bytes], pause: float) -> None:
        self._tokens = tokens
        self._pause = pause
        self._received = b""
        self._next = self._asked = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length:")
        if not found or len(body) < int(length.partition(b"\r\n")[0] or 0):
            return
        self._received = b""
        if head.startswith(b"GET"):  # whoever waits until it is up
            self._transport.write(_READY)
            return
        asked = _ASKED.search(body)
        self._asked = int(asked[1]) if asked else 0
        self._next, self._due = 0, asyncio.get_running_loop().time()
        self._transport.write(_HEAD)
        self._say()

    def _say(self) -> None:
        if self._next == self._asked:
            self._transport.write(_end(self._asked))
            return
        self._transport.write(self._tokens[self._next])
        self._next += 1
        self._due += self._pause  # of the plan: what was late once does not make the rest late
        self._timer = asyncio.get_running_loop().call_at(self._due, self._say)


def _end(tokens: int) -> bytes:
    usage = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}}
    ends = [_event(finish="stop"), _chunk(b"data: " + json.dumps(usage).encode() + b"\n\n")]
    return b"".join([*ends, _chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n"])


async def _serve(port: int, pace: int) -> None:
    tokens = [_event(text=token(number)) for number in range(_MOST)]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(tokens, 1 / pace), "127.0.0.1", port, backlog=4096, reuse_address=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(*map(int, sys.argv[1:3])))
