"""API keys: made once, shown once, kept as a hash, and good for access tokens of their owner until they are deleted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from auth_svc import api_key_store, audit, letter_store, letters, session_store, sessions, texts, tokens, user_store
from auth_svc.access_tokens import ACCESS_TOKEN_LIFE, AccessTokens, Token
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.endings import Endings
from auth_svc.letters import Kind
from auth_svc.models import ApiKey
from svckit.errors import FailedPrecondition, NotFound, Unauthenticated
from svckit.ids import new_id
from svckit.postgres import Database

_MOST = 50
# So that tools which look for secrets in published code can tell one; and no dot, which the edge takes for a JWT's.
_MARK = "cmk_"
_SHOWN = 12  # characters; the 43 less 8 that stay hidden are 210 bits
_TOUCH_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key and its secret, which is not kept."""

    key: ApiKey
    secret: str = field(repr=False)


class ApiKeys:
    """Makes, lists, deletes and exchanges them."""

    def __init__(self, *, database: Database, access_tokens: AccessTokens, endings: Endings, clock: Clock) -> None:
        self._database = database
        self._access_tokens = access_tokens
        self._endings = endings
        self._clock = clock

    async def make(self, *, name: str, expires_at: datetime | None, caller: Caller) -> MadeKey:
        """A new key of the caller's, who is told by mail; FailedPrecondition to a key, or at the most."""
        now, secret = self._clock(), _MARK + tokens.new_token()
        key = _new_key(texts.line("name", name), secret, owner=caller.user_id, expires_at=expires_at, now=now)
        async with self._database.transaction() as session:
            user = await user_store.lock_user(session, caller.user_id)
            await sessions.own_session(session, caller, now=now)
            if user is None or await api_key_store.count_api_keys(session, caller.user_id) >= _MOST:
                raise FailedPrecondition(f"there are {_MOST} keys already", reason="TOO_MANY_API_KEYS")
            session.add(key)
            await letter_store.add_letter(session, letters.letter(Kind.API_KEY_MADE, user.email_key, now=now))
            audit.note(session, Fact.API_KEY_MADE, user_id=user.id, caller=caller, now=now, detail=key.prefix)
        return MadeKey(key, secret)

    async def list_own(self, user_id: str, *, limit: int, before: str) -> Sequence[ApiKey]:
        """The user's keys, newest first; those that were made before the one with the id `before`."""
        async with self._database.transaction() as session:
            return await api_key_store.api_keys(session, user_id, limit=limit, before=before)

    async def delete(self, api_key_id: str, caller: Caller) -> None:
        """End one of the caller's keys everywhere; NotFound, or FailedPrecondition to a key."""
        now = self._clock()
        async with self._database.transaction() as session:
            await sessions.own_session(session, caller, now=now)
            key = await api_key_store.delete_api_key(session, api_key_id, user_id=caller.user_id)
            if key is None:
                raise NotFound("you have no such API key")
            await session_store.add_endings(session, [key.session_id], now=now)
            audit.note(session, Fact.API_KEY_DELETED, user_id=key.user_id, caller=caller, now=now, detail=key.prefix)
        await self._endings.announce([key.session_id])

    async def exchange(self, secret: str) -> tuple[str, Token]:
        """The `sid` and an access token for a key; Unauthenticated if it is unknown, over, or its owner's disabled."""
        now = self._clock()
        async with self._database.transaction() as session:
            found = await api_key_store.find_api_key(session, tokens.digest(secret), now=now)
            if found is None:
                raise Unauthenticated("the API key is unknown or has ended", reason="API_KEY_INVALID")
            key, user = found
            if key.last_used_at is None or now - key.last_used_at >= _TOUCH_AFTER:
                await api_key_store.touch_api_key(session, key.id, now=now)
        until = key.expires_at or now + ACCESS_TOKEN_LIFE
        return key.session_id, self._access_tokens.issue(user, session_id=key.session_id, now=now, no_later_than=until)


def _new_key(name: str, secret: str, *, owner: str, expires_at: datetime | None, now: datetime) -> ApiKey:
    return ApiKey(
        id=new_id(),
        user_id=owner,
        name=name,
        prefix=secret[:_SHOWN],
        digest=tokens.digest(secret),
        session_id=new_id(),
        created_at=now,
        last_used_at=None,
        expires_at=expires_at,
    )
