"""HTTP to a provider: bounded in time and size, and never led elsewhere by a redirect."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog

from svckit import http_calls
from svckit.errors import Unavailable

log = structlog.get_logger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=4, connect=2)  # three of these fit into the deadline of an RPC
_MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object and the status that it came with."""

    status: int
    body: Mapping[str, Any]


class Wire:
    """Asks for JSON objects; made by `opened`. Whatever is no answer raises Unavailable."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def get(self, url: str) -> Mapping[str, Any]:
        """What the URL answers with 200."""
        answer = await self._ask("GET", url)
        if answer.status != 200:
            raise unavailable(url, f"status {answer.status}")
        return answer.body

    async def post(self, url: str, form: Mapping[str, str], *, authorization: str = "") -> Answer:
        """What a form is answered with, whatever the status."""
        headers = {"Authorization": authorization} if authorization else {}
        return await self._ask("POST", url, data=form, headers=headers)

    async def _ask(self, method: str, url: str, **arguments: Any) -> Answer:
        try:
            async with self._http.request(method, url, allow_redirects=False, **arguments) as response:
                return Answer(response.status, _object(await _read(response)))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise unavailable(url, str(error) or type(error).__name__) from error


@asynccontextmanager
async def opened(patience: aiohttp.ClientTimeout = _TIMEOUT) -> AsyncIterator[Wire]:
    """A wire that lives as long as the block."""
    headers = {"Accept": "application/json"}
    async with aiohttp.ClientSession(
        timeout=patience,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[http_calls.observed()],
    ) as http:
        yield Wire(http)


def unavailable(url: str, problem: str) -> Unavailable:
    """Says to the log what is wrong, and to the caller only that the provider is no help now."""
    log.warning("an OpenID Connect provider is of no help", url=url, problem=problem)
    return Unavailable("the provider does not answer, try again", reason="OIDC_PROVIDER_UNAVAILABLE")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    read = bytearray()
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
    return bytes(read)


def _object(text: bytes) -> Mapping[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found
