"""`make load`: visits of the whole product at a given rate, whatever the answers take; writes a page with plots.

An open model: visitors come at random (Poisson) and do not wait for each other, so a mesh that is too slow meets a
growing crowd, as it would on its worst day. A visit's first answer is measured from when the visit was due.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from pathlib import Path

import aiohttp

from bench import journey_report

_SEED = 8
# Seconds of silence. A streamed answer takes what its model takes; the edge says every 15 s that it is still coming.
_PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=30)
_CONVERSATION = {"title": "Under load"}
# What each visitor does, one after the other.
_STEPS: tuple[tuple[str, str, object], ...] = (
    ("GET", "/api/auth/me", None),
    ("GET", "/api/conversations", None),
    ("POST", "/api/conversations", _CONVERSATION),
    ("GET", "/api/chat/usage", None),
    ("GET", "/api/billing/plans", None),
)
_STREAM = "POST /api/chat, streamed"


class CannotLoad(Exception):
    """The mesh is not there, does not let us in, or would refuse the load; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: what it was, when it was due after the start, how long it took, in seconds; why it failed, if so."""

    call: str
    due: float
    took: float
    failure: str = ""


class Load:
    """Visitors of one mesh, and what they were answered."""

    def __init__(self, http: aiohttp.ClientSession, *, stream_every: int) -> None:
        """Every so many visits one has an answer of a model streamed; 0: none."""
        self.answers: list[Answer] = []
        self._http = http
        self._stream_every = stream_every
        self._began = 0.0

    async def run(self, *, rate: float, seconds: float) -> None:
        """Let visitors come for that time, then wait for those who are there."""
        gaps = random.Random(_SEED)  # noqa: S311 - the same crowd every time
        loop = asyncio.get_running_loop()
        self._began = due = loop.time()
        async with asyncio.TaskGroup() as visits:
            for number in count(1):
                due += gaps.expovariate(rate)
                if due > self._began + seconds:
                    return
                await asyncio.sleep(due - loop.time())
                visits.create_task(self._visit(number, due))

    async def _visit(self, number: int, due: float) -> None:
        for method, path, body in _STEPS:
            await self._ask(f"{method} {path}", method, path, body, due=due)
            due = asyncio.get_running_loop().time()
        if self._stream_every and number % self._stream_every == 0:
            await self._ask(_STREAM, "POST", "/api/chat", {"message": "Say hello."}, due=due)

    async def _ask(self, call: str, method: str, path: str, body: object, *, due: float) -> None:
        headers = {"Accept": "text/event-stream"} if call == _STREAM else {}
        failure = ""
        try:
            async with self._http.request(method, path, json=body, headers=headers) as answer:
                text = await answer.text()
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    failure = str(answer.status)
                elif call == _STREAM and "messageEnd" not in text:
                    failure = "not finished"
        except (aiohttp.ClientError, TimeoutError) as error:
            failure = type(error).__name__
        now = asyncio.get_running_loop().time()
        self.answers.append(Answer(call, due - self._began, now - due, failure))


@asynccontextmanager
async def _entered(url: str, home: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody who is signed in: by the key in LOAD_API_KEY, or as the administrator that `make run` has made."""
    key = os.environ.get("LOAD_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    connector = aiohttp.TCPConnector(limit=0)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(
        url, headers=headers, connector=connector, cookie_jar=jar, timeout=_PATIENCE
    ) as http:
        try:
            if not key:
                await _sign_in(http, home / "administrator.txt")
            async with http.get("/api/auth/me") as answer:
                if answer.status != HTTPStatus.OK:
                    raise CannotLoad(f"{url} does not let us in: {answer.status}; set LOAD_API_KEY to a key of its own")
                if "RateLimit-Limit" in answer.headers:
                    raise CannotLoad("the mesh limits its clients: start it with RATE_LIMIT_PER_MINUTE=0")
        except aiohttp.ClientConnectionError as error:
            raise CannotLoad(f"{error}: start it with RATE_LIMIT_PER_MINUTE=0 make run") from None
        yield http


async def _sign_in(http: aiohttp.ClientSession, credentials: Path) -> None:
    email, password = _administrator(credentials)
    async with http.post("/api/auth/signin", json={"email": email, "password": password}) as answer:
        await answer.read()


def _administrator(credentials: Path) -> tuple[str, str]:
    try:
        email, password = credentials.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        raise CannotLoad(f"there is no {credentials}: set LOAD_API_KEY to an API key") from None
    return email, password


async def loaded(options: argparse.Namespace) -> list[Answer]:
    """Run the load; raises CannotLoad before the first visit."""
    async with _entered(options.url, Path(os.environ.get("CHATMESH_HOME") or ".chatmesh")) as http:
        load = Load(http, stream_every=options.stream_every)
        await load.run(rate=options.rate, seconds=options.seconds)
        return load.answers


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.journey", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:4000", help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=20, help="visits that begin in a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="for how long (default: %(default)s)")
    parser.add_argument(
        "--stream-every", type=int, default=50, help="visits of which one streams (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path("build/load.html"), help="default: %(default)s")
    options = parser.parse_args()
    if options.rate <= 0 or options.seconds <= 0:
        parser.error("--rate and --seconds must be more than 0")
    began = time.strftime("%Y-%m-%d %H:%M")
    try:
        answers = asyncio.run(loaded(options))
    except CannotLoad as error:
        sys.exit(f"load: {error}")
    page = journey_report.page(answers, title=f"{options.rate:g} visits a second for {options.seconds:g} s, {began}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(page, encoding="utf-8")
    sys.stdout.write(f"{journey_report.table(answers)}\nwritten to {options.output}\n")
    sys.exit(1 if any(answer.failure for answer in answers) else 0)


if __name__ == "__main__":
    main()
