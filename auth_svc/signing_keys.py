"""The keys that sign access tokens: made at the first start, kept in PostgreSQL, known by their thumbprints (RFC 7638).

The private half is sealed, the public half is not. A replica whose SERVICE_SECRET cannot open any key makes one of its
own, and the tokens that were signed with the others stay good: so changing the secret signs nobody out.
"""

import json
from collections.abc import Sequence

import structlog
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import store
from auth_svc.models import StoredKey
from auth_svc.sealing import BrokenSeal, Seal
from svckit.identity import SigningKey
from svckit.postgres import Database

log = structlog.get_logger(__name__)


async def find_or_make(database: Database, seal: Seal) -> SigningKey:
    """The key to sign with; replicas that start together make one between them."""
    async with database.transaction() as session:
        await store.lock_signing_keys(session)
        for stored in await store.signing_keys(session):
            try:
                return _unsealed(stored, seal)
            except BrokenSeal:
                log.warning("signing key was sealed under another secret", kid=stored.kid)
        return await _make(session, seal)


async def published(database: Database) -> Sequence[StoredKey]:
    """The keys whose tokens count, newest first."""
    async with database.transaction() as session:
        return await store.signing_keys(session)


async def _make(session: AsyncSession, seal: Seal) -> SigningKey:
    key = OKPKey.generate_key("Ed25519")
    made = SigningKey(kid=key.thumbprint(), key=key)
    private = json.dumps(key.as_dict(private=True)).encode()
    session.add(StoredKey(kid=made.kid, x=made.x, sealed=seal.seal(private)))
    log.info("signing key made", kid=made.kid)
    return made


def _unsealed(stored: StoredKey, seal: Seal) -> SigningKey:
    return SigningKey(kid=stored.kid, key=OKPKey.import_key(json.loads(seal.open(stored.sealed))))
