"""Access tokens: what a session or an API key is turned into, for ten minutes at most."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from auth_svc.models import User
from auth_svc.signing_keys import SigningKeys
from svckit.identity import Claims, mint
from svckit.ids import new_id

ACCESS_TOKEN_LIFE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Token:
    """A secret and its end."""

    value: str = field(repr=False)
    expires_at: datetime


class AccessTokens:
    """Signs them with the key in use."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys

    def issue(self, user: User, *, session_id: str, now: datetime, no_later_than: datetime) -> Token:
        """A token of that user; it ends with `session_id`, and at `no_later_than` at the latest."""
        expires_at = min(now + ACCESS_TOKEN_LIFE, no_later_than)
        claims = Claims(
            user_id=user.id, session_id=session_id, role=user.as_role, token_id=new_id(), expires=expires_at
        )
        return Token(mint(claims, self._keys.current, now=now), expires_at)
