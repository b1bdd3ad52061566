"""`chatmesh smoke URL`: the journey of a new user against a running mesh, step by step, with nothing left of it."""

import asyncio
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TextIO

import aiohttp

_MAIL_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_REQUEST_SECONDS = 120.0  # a small model on a busy machine takes its time
_TOKEN = re.compile(r"token=(?:3D)?([\w-]{20,})")

Step = tuple[str, Callable[[], Awaitable[str]]]


class StepFailed(Exception):
    """A step was not answered as it must be; the message is what was answered instead."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the journey is made as; with `mail`, the folder where mail arrives, the account is made and deleted."""

    email: str
    password: str
    mail: Path | None = None

    @staticmethod
    def new(mail: Path) -> "Account":
        """Make somebody up whose mail arrives in that folder."""
        return Account(f"smoke-{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(12), mail)


async def run(url: str, account: Account, *, output: TextIO) -> int:
    """Take the steps until one fails, and clean up in any case; returns 0 if all went well, else 1."""
    timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(url, timeout=timeout, cookie_jar=jar) as http:
        journey = Journey(http, account)
        try:
            return 0 if await _taken(journey.steps(), output) else 1
        finally:
            await journey.clean_up()


async def _taken(steps: Sequence[Step], output: TextIO) -> bool:
    for name, take in steps:
        since = time.monotonic()
        try:
            said = await take()
        except (StepFailed, aiohttp.ClientError, TimeoutError) as error:
            output.write(f"FAIL  {name}: {error or type(error).__name__}\n")
            return False
        output.write(f"ok    {time.monotonic() - since:6.2f} s  {name}: {said}\n")
    return True


class Journey:
    """The steps, each of which says what it saw or raises StepFailed."""

    def __init__(self, http: aiohttp.ClientSession, account: Account) -> None:
        self._http = http
        self._account = account
        self._signed_in = False
        self._conversation = ""

    def steps(self) -> list[Step]:
        """List the steps in order; without a folder for mail the account is there already."""
        signing_up: list[Step] = [("sign up", self._sign_up), ("verify the address", self._verify)]
        return [
            ("health", self._health),
            *(signing_up if self._account.mail else ()),
            ("sign in", self._sign_in),
            ("a streamed answer", self._stream),
            ("read it again", self._read),
            ("plans", self._plans),
            ("reports", self._report),
        ]

    async def clean_up(self) -> None:
        """Delete the account that was made, or else the conversation; sign out."""
        if not self._signed_in:
            return
        if self._account.mail:
            await self._answer("DELETE", "/api/auth/me", {"password": self._account.password})
            return
        if self._conversation:
            await self._answer("DELETE", f"/api/conversations/{self._conversation}")
        await self._answer("POST", "/api/auth/signout", {})

    async def _health(self) -> str:
        return f"{(await self._answer('GET', '/health'))['status']}"

    async def _sign_up(self) -> str:
        await self._answer(
            "POST", "/api/auth/signup", {"email": self._account.email, "password": self._account.password}
        )
        return self._account.email

    async def _verify(self) -> str:
        assert self._account.mail
        try:
            async with asyncio.timeout(_MAIL_SECONDS):
                token = await _token_for(self._account.email, self._account.mail)
        except TimeoutError:
            raise StepFailed(f"no mail came into {self._account.mail} within {_MAIL_SECONDS:.0f} s") from None
        await self._answer("POST", "/api/auth/verify-email", {"token": token})
        return "the mail came, and its token counts"

    async def _sign_in(self) -> str:
        account = {"email": self._account.email, "password": self._account.password}
        await self._answer("POST", "/api/auth/signin", account)
        self._signed_in = True
        return f"{(await self._answer('GET', '/api/auth/me'))['user']['email']}"

    async def _stream(self) -> str:
        kinds: list[str] = []
        async with self._http.post(
            "/api/chat", json={"message": "Say hello."}, headers={"Accept": "text/event-stream"}
        ) as answer:
            async for event in _events(answer):
                kinds += [kind for kind in event if kind != "sequence"]
                self._conversation = event.get("messageStart", {}).get("conversationId", self._conversation)
        if kinds[-1:] != ["messageEnd"]:
            raise StepFailed(f"the stream ended with {kinds[-1] if kinds else 'nothing'}")
        return f"{kinds.count('delta')} pieces"

    async def _read(self) -> str:
        answer = await self._answer("GET", f"/api/conversations/{self._conversation}/messages")
        return f"{len(answer['messages'])} messages"

    async def _plans(self) -> str:
        return ", ".join(plan["id"] for plan in (await self._answer("GET", "/api/billing/plans"))["plans"])

    async def _report(self) -> str:
        """Only analysts see figures: for anybody else the refusal shows that analytics answers, and guards them."""
        async with self._http.get("/api/analytics/overview") as answer:
            if answer.status == HTTPStatus.FORBIDDEN:
                return "answered, and kept from those who may not see them"
            await _checked(answer)
            return "answered"

    async def _answer(self, method: str, path: str, body: object = None) -> Any:
        async with self._http.request(method, path, json=body) as answer:
            await _checked(answer)
            return await answer.json()


async def _checked(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise StepFailed(f"{answer.method} {answer.url.path}: {answer.status} {(await answer.text())[:300]}")


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    await _checked(answer)
    async for line in answer.content:
        if line.startswith(b"data:"):
            data = json.loads(line[5:])
            if "event" not in data:
                raise StepFailed(f"the stream broke off: {data.get('detail', data)}")
            yield data["event"]


async def _token_for(email: str, folder: Path) -> str:
    """The token in a mail to that address, once it is there."""
    while True:
        if token := _token_in(folder, email):
            return token
        await asyncio.sleep(_LOOK_SECONDS)


def _token_in(folder: Path, email: str) -> str:
    for mail in folder.glob("*.eml"):
        text = mail.read_text(errors="replace")
        if email in text and (found := _TOKEN.search(text.replace("=\n", ""))):
            return found[1]
    return ""
