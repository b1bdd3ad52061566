"""The keys that sign access tokens: kept in PostgreSQL, known by their thumbprints (RFC 7638), replaced every 30 days.

A new key is published for a while before it signs, so that whoever keeps a copy of the key set has it by then, and an
old one for a while after, until the last of its tokens has ended. The private half is sealed, the public half is not. A
replica whose SERVICE_SECRET cannot open any key makes one of its own, and the tokens that were signed with the others
stay good: so changing the secret signs nobody out.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import signing_key_store
from auth_svc.clock import Clock
from auth_svc.models import StoredKey
from auth_svc.sealing import BrokenSeal, Seal
from svckit import postgres
from svckit.identity import SigningKey
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_LIFE = timedelta(days=30)
_AHEAD = timedelta(minutes=15)  # longer than anybody should keep a copy: verifiers here keep theirs for five minutes
_AFTER = timedelta(hours=1)  # longer than a token lives
_LOOK_SECONDS = 60.0


class SigningKeys:
    """Knows which key to sign with; `load` first."""

    def __init__(self, *, database: Database, seal: Seal, clock: Clock) -> None:
        self._database = database
        self._seal = seal
        self._clock = clock
        self._current: SigningKey | None = None

    @property
    def current(self) -> SigningKey:
        if self._current is None:
            raise RuntimeError("the signing keys were not loaded")
        return self._current

    async def load(self) -> None:
        """Read the keys; make one and forget some where it is time. Replicas take turns: they make one between them."""
        now = self._clock()
        async with self._database.transaction() as session:
            await signing_key_store.lock_signing_keys(session)
            await _retire(session, await signing_key_store.signing_keys(session), now)
            ours = [
                (stored.active_at, opened)
                for stored in await signing_key_store.signing_keys(session)
                if (opened := _opened(stored, self._seal))
            ]
            if not ours:
                ours = [(now, await _make(session, self._seal, made_at=now, active_at=now))]
                log.info("signing key made", kid=ours[0][1].kid)
            elif now - ours[0][0] > _LIFE:
                successor = await _make(session, self._seal, made_at=now, active_at=now + _AHEAD)
                log.info("signing key made, to take over later", kid=successor.kid)
        # Where none is active yet, the replica that made the oldest has a clock that is ahead of this one's.
        self._current = next((key for active_at, key in ours if active_at <= now), ours[-1][1])

    async def run(self) -> None:
        """Load again for ever, each minute and whenever keys were changed by hand. Raises when PostgreSQL goes away."""
        async with self._database.dedicated() as connection:
            driver = await postgres.listen(connection, signing_key_store.KEYS_CHANNEL)
            while True:
                await self.load()
                async for _ in driver.notifies(timeout=_LOOK_SECONDS, stop_after=1):
                    pass


async def rotate(session: AsyncSession, seal: Seal, *, now: datetime, at_once: bool) -> str:
    """Make a key ahead of time, and give its id. `at_once`: it signs from now on, and what others signed is void."""
    await signing_key_store.lock_signing_keys(session)
    if at_once:
        kept = await signing_key_store.signing_keys(session)
        await signing_key_store.drop_signing_keys(session, [stored.kid for stored in kept])
    return (await _make(session, seal, made_at=now, active_at=now if at_once else now + _AHEAD)).kid


async def published(database: Database) -> Sequence[StoredKey]:
    """The keys whose tokens count, and the next one, newest first."""
    async with database.transaction() as session:
        return await signing_key_store.signing_keys(session)


async def _retire(session: AsyncSession, newest_first: Sequence[StoredKey], now: datetime) -> None:
    """Forget the keys that another one took over from so long ago that their tokens have ended."""
    settled = [key for key in newest_first if now - key.active_at > _AFTER]
    if over := [key.kid for key in settled[1:]]:
        await signing_key_store.drop_signing_keys(session, over)
        log.info("signing keys retired", kids=over)


async def _make(session: AsyncSession, seal: Seal, *, made_at: datetime, active_at: datetime) -> SigningKey:
    key = OKPKey.generate_key("Ed25519")
    made = SigningKey(kid=key.thumbprint(), key=key)
    private = json.dumps(key.as_dict(private=True)).encode()
    stored = StoredKey(kid=made.kid, x=made.x, sealed=seal.seal(private), created_at=made_at, active_at=active_at)
    await signing_key_store.add_signing_key(session, stored)
    return made


def _opened(stored: StoredKey, seal: Seal) -> SigningKey | None:
    try:
        return SigningKey(kid=stored.kid, key=OKPKey.import_key(json.loads(seal.open(stored.sealed))))
    except BrokenSeal:
        log.warning("signing key was sealed under another secret", kid=stored.kid)
        return None
