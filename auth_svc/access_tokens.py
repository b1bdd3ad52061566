"""Access tokens: what a session or an API key is turned into, for ten minutes at most."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from auth_svc.models import User
from svckit.identity import Claims, SigningKey, mint
from svckit.ids import new_id

ACCESS_TOKEN_LIFE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Token:
    """A secret and its end."""

    value: str = field(repr=False)
    expires_at: datetime


class AccessTokens:
    """Signs them."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def issue(self, user: User, *, session_id: str, now: datetime, no_later_than: datetime) -> Token:
        """A token of that user; it ends with `session_id`, and at `no_later_than` at the latest."""
        expires_at = min(now + ACCESS_TOKEN_LIFE, no_later_than)
        claims = Claims(
            user_id=user.id, session_id=session_id, role=user.as_role, token_id=new_id(), expires=expires_at
        )
        return Token(mint(claims, self._key, now=now), expires_at)
