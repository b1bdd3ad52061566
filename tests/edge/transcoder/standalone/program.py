"""`python -m edge.transcoder` as a child process, and a client that sends URLs byte for byte."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession
from yarl import URL

from tests.edge.transcoder.probe import Answer
from tests.waiting import PATIENCE

_SERVING = re.compile(r"serving (\d+) .* on (http://\S+) → (\S+)")


@dataclass(frozen=True)
class Ended:
    """How a process ended, and all that it said since it was started or was last read."""

    status: int
    out: str
    err: str


class Program:
    """A program that serves. `lines` are what it printed at the start."""

    def __init__(self, process: asyncio.subprocess.Process, session: ClientSession, *, verbose: bool) -> None:
        self._process = process
        self._session = session
        self._verbose = verbose
        self.lines: list[str] = []
        self.url = ""
        self.upstream = ""

    async def started(self) -> None:
        """Wait until it serves."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = (await self._process.stdout.readline()).decode()
        found = _SERVING.match(line)
        assert found, line + (await self.ended()).err
        self.url, self.upstream, self.lines = found[2], found[3], [line.rstrip()]
        if self._verbose:
            self.lines += [(await self._process.stdout.readline()).decode().rstrip() for _ in range(int(found[1]))]

    async def log_line_of(self, request_id: str) -> dict[str, Any]:
        """The line of a request in the access log."""
        assert self._process.stderr is not None
        line: dict[str, Any] = {}
        async with asyncio.timeout(PATIENCE):
            while line.get("requestId") != request_id:
                line = json.loads(await self._process.stderr.readline())
        return line

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request; a body that is no bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(method, URL(self.url + path, encoded=True), data=data, headers=named) as got:
            return Answer(got.status, got.headers.copy(), await got.read())

    def stream(self, path: str, *, accept: str) -> Any:
        """An answer to be read as it comes."""
        return self._session.get(URL(self.url + path, encoded=True), headers={"Accept": accept})

    def socket(self, path: str) -> Any:
        """Open a WebSocket."""
        return self._session.ws_connect(URL(self.url + path, encoded=True))

    async def raw(self, data: bytes) -> bytes:
        """Send bytes as they are; the answer until the connection ends."""
        reader, writer = await asyncio.open_connection(URL(self.url).host, URL(self.url).port)
        writer.write(data)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return json.loads((await self(method, path, body, **headers)).body)

    def signal(self, signum: signal.Signals) -> None:
        self._process.send_signal(signum)

    async def refuses(self) -> bool:
        """Whether nobody listens at its port any more."""
        try:
            _, writer = await asyncio.open_connection(URL(self.url).host, URL(self.url).port)
        except ConnectionError:
            return True
        writer.close()
        return False

    async def ended(self) -> Ended:
        async with asyncio.timeout(PATIENCE):
            out, err = await self._process.communicate()
        assert self._process.returncode is not None
        return Ended(self._process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def launched(*flags: str) -> AsyncIterator[Program]:
    """The program from its start on, whether it comes to serve or not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "edge.transcoder", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with ClientSession() as session:
        try:
            yield Program(process, session, verbose="--verbose" in flags)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


@asynccontextmanager
async def running(*flags: str) -> AsyncIterator[Program]:
    """The program, serving on a free port."""
    async with launched(*flags, "--listen", "127.0.0.1:0") as program:
        await program.started()
        yield program
