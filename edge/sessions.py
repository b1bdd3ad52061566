"""Access tokens for what a caller holds, a session cookie or an API key: exchanged at auth and remembered."""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from svckit.errors import Unauthenticated
from svckit.revocations import Revocations

_SECRET = re.compile(r"[\x21-\x7e]{1,200}")  # what ExchangeSession takes; metadata and messages carry no other bytes
_REUSE_SECONDS = 60.0
_EXPIRY_MARGIN_SECONDS = 30.0
_MOST_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller holds; `kind` is the field of ExchangeSessionRequest that takes it."""

    kind: Literal["session_token", "api_key"]
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What auth gave for a credential. `expires` is Unix time, in seconds."""

    access_token: str
    session_id: str
    expires: float


class Sessions:
    """Remembers exchanges for a minute, so that auth is not asked for every request.

    A revoked session is forgotten at once: its id is looked up on every use, in memory. While revocations are not heard
    (Redis is away) nothing is remembered, and auth, which holds the truth, is asked each time. Requests that arrive
    together with the same credential share one exchange.
    """

    def __init__(self, *, exchange: Callable[[Credential], Awaitable[Exchanged]], revocations: Revocations) -> None:
        self._exchange = exchange
        self._revocations = revocations
        self._remembered: OrderedDict[Credential, tuple[Exchanged, float]] = OrderedDict()
        self._asking: dict[Credential, asyncio.Task[Exchanged]] = {}

    async def access_token(self, credential: Credential) -> str:
        """The access token of a credential; raises what `exchange` raises when auth refuses it."""
        if not _SECRET.fullmatch(credential.secret):
            raise Unauthenticated("the session cookie or API key is none of ours", reason="TOKEN_INVALID")
        return self.known(credential) or (await self._ask(credential)).access_token

    def known(self, credential: Credential) -> str | None:
        """The access token that a credential was exchanged for within the last minute, if it may be used again."""
        found = self._remembered.get(credential)
        if found is not None and found[1] > time.time() and self._may_reuse(found[0]):
            return found[0].access_token
        return None

    def _may_reuse(self, exchanged: Exchanged) -> bool:
        return self._revocations.ready.is_set() and not self._revocations.contains(exchanged.session_id)

    async def _ask(self, credential: Credential) -> Exchanged:
        task = self._asking.get(credential)
        if task is None:
            task = asyncio.create_task(self._exchange_and_remember(credential))
            self._asking[credential] = task
            task.add_done_callback(lambda done: self._asked(credential, done))
        # A request that goes away must not take the exchange from the others that wait for it.
        return await asyncio.shield(task)

    def _asked(self, credential: Credential, task: asyncio.Task[Exchanged]) -> None:
        del self._asking[credential]
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may be left to

    async def _exchange_and_remember(self, credential: Credential) -> Exchanged:
        exchanged = await self._exchange(credential)
        until = min(time.time() + _REUSE_SECONDS, exchanged.expires - _EXPIRY_MARGIN_SECONDS)
        self._remembered[credential] = (exchanged, until)
        self._remembered.move_to_end(credential)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return exchanged
