"""A way to a ClickHouse server on which the first insert of events waits until it is let go."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from urllib.parse import urlsplit

_INSERT = b"insert_deduplication_token=EVENTS"


class Held:
    """What becomes of that insert: its sender has sent it, it may go on, the server has answered it."""

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server)
        self.url = ""
        self.sent = asyncio.Event()
        self.let_go = asyncio.Event()
        self.answered = asyncio.Event()

    async def connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        answers, server = await asyncio.open_connection(self._server.hostname, self._server.port)
        with closing(writer), closing(server), suppress(ConnectionError):
            await asyncio.gather(self._ask(reader, server), self._answer(answers, writer))

    async def _ask(self, reader: StreamReader, server: StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if _INSERT in data:
                self.sent.set()
                await self.let_go.wait()
            server.write(data)
        server.close()

    async def _answer(self, answers: StreamReader, writer: StreamWriter) -> None:
        # Its sender asks for nothing else meanwhile.
        while data := await answers.read(1 << 16):
            writer.write(data)
            if self.let_go.is_set():
                self.answered.set()


@asynccontextmanager
async def held(url: str) -> AsyncIterator[Held]:
    way = Held(url)
    async with await asyncio.start_server(way.connect, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        way.url = f"http://{host}:{port}{urlsplit(url).path}"
        yield way
