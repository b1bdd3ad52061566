"""Webhooks: every event, signed, to the one URL that is configured, until it is taken.

https://docs.stripe.com/webhooks#verify-manually for the signature; retries with a growing pause for three days.
"""

import asyncio
import hashlib
import hmac
import json
import time

import aiohttp
import structlog

from billing_svc.emulator.faults import Faults
from billing_svc.emulator.objects import Objects

log = structlog.get_logger(__name__)

_GIVE_UP_SECONDS = 3 * 24 * 60 * 60
_LONGEST_PAUSE = 3600.0
_IDLE_SECONDS = 1.0
_TIMEOUT = aiohttp.ClientTimeout(total=10)


def signature(payload: bytes, secret: str, *, now: int) -> str:
    """The `Stripe-Signature` header of a payload that is sent now."""
    signed = hmac.new(secret.encode(), b"%d.%b" % (now, payload), hashlib.sha256)
    return f"t={now},v1={signed.hexdigest()}"


class Deliveries:
    """Sends what waits in the file, oldest first; the file remembers it over a crash.

    Signatures and pauses are of the machine's own time, whatever a test clock says.
    """

    def __init__(self, *, objects: Objects, faults: Faults, url: str, secret: str) -> None:
        self._objects = objects
        self._faults = faults
        self._url = url
        self._secret = secret
        self._news = asyncio.Event()

    def wake(self) -> None:
        """There may be something to send."""
        self._news.set()

    async def run(self) -> None:
        """Deliver for ever."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            while True:
                self._news.clear()
                while due := self._due():
                    for event, attempts, created in due:
                        await self._deliver(session, event, attempts, created)
                await self._pause()

    def _due(self) -> list[tuple[str, int, int]]:
        if self._faults.on_webhooks("hold"):
            return []
        query = "SELECT event, attempts, created FROM deliveries WHERE due <= ? ORDER BY rowid LIMIT 100"
        due: list[tuple[str, int, int]] = self._objects.connection.execute(query, (time.time(),)).fetchall()
        return due[::-1] if self._faults.on_webhooks("reorder") else due

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _deliver(self, session: aiohttp.ClientSession, event: str, attempts: int, created: int) -> None:
        done = await self._taken(session, event)
        if self._faults.on_webhooks("duplicate"):
            await self._taken(session, event)
        if done or time.time() - created > _GIVE_UP_SECONDS:
            self._objects.connection.execute("DELETE FROM deliveries WHERE event = ?", (event,))
            return
        due = time.time() + min(2.0**attempts, _LONGEST_PAUSE)
        self._objects.connection.execute(
            "UPDATE deliveries SET attempts = attempts + 1, due = ? WHERE event = ?", (due, event)
        )

    async def _taken(self, session: aiohttp.ClientSession, event: str) -> bool:
        payload = json.dumps(self._objects.find("event", event)).encode()
        headers = {
            "content-type": "application/json; charset=utf-8",
            "stripe-signature": signature(payload, self._secret, now=int(time.time())),
        }
        try:
            async with session.post(self._url, data=payload, headers=headers) as response:
                taken = response.ok
                why = f"HTTP {response.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            taken, why = False, str(error) or type(error).__name__
        if not taken:
            log.warning("webhook not taken, will try again", event_id=event, error=why)
        return taken
