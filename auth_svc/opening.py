"""Opening a session for somebody who has shown who they are, and how long it lives.

A session ends 7 days after its last use, and 30 days after its start at the latest.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from chatmesh.events.v1.events_pb2 import UserSignedIn

from auth_svc import audit, models, store, tokens
from auth_svc.access_tokens import AccessTokens, Token
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.models import RefreshToken, Session, User
from svckit import events, outbox
from svckit.ids import new_id
from svckit.statements import Driver

LONGEST_LIFE = timedelta(days=30)
_IDLE_LIFE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a program presents to be let in."""

    access: Token
    refresh: Token


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that was just opened, and what proves it."""

    user: User
    session: Token
    tokens: Tokens


def latest_end(session: Session) -> datetime:
    """When it ends however much it is used."""
    return session.created_at + LONGEST_LIFE


def idle_end(session: Session, now: datetime) -> datetime:
    """When it ends if it is not used after `now`."""
    return min(now + _IDLE_LIFE, latest_end(session))


async def open_session(
    driver: Driver, user: User, caller: Caller, *, access_tokens: AccessTokens, now: datetime
) -> SignedIn:
    """A new session of the user, who is locked and not disabled; told if the transaction commits."""
    session_token, refresh_token = tokens.new_token(), tokens.new_token()
    opened = _new_session(user, session_token, caller, now)
    noted = audit.event(Fact.SESSION_OPENED, user_id=user.id, session_id=opened.id, caller=caller, now=now)
    await store.add_at_once(driver, opened, _kept(refresh_token, opened), noted)
    told = events.event(UserSignedIn(user_id=user.id, session_id=opened.id), source="auth", about=user.id, time=now)
    await outbox.add_directly(driver, models.outbox, told)
    access = access_tokens.issue(user, session_id=opened.id, now=now, no_later_than=latest_end(opened))
    refresh = Token(refresh_token, opened.expires_at)
    return SignedIn(user, Token(session_token, opened.expires_at), Tokens(access, refresh))


def _new_session(user: User, token: str, caller: Caller, now: datetime) -> Session:
    return Session(
        id=new_id(),
        user_id=user.id,
        token_digest=tokens.digest(token),
        user_agent=caller.user_agent,
        ip_address=caller.ip_address,
        created_at=now,
        last_seen_at=now,
        expires_at=now + _IDLE_LIFE,
    )


def _kept(refresh_token: str, session: Session) -> RefreshToken:
    return RefreshToken(
        digest=tokens.digest(refresh_token),
        session_id=session.id,
        created_at=session.created_at,
        expires_at=session.expires_at,
    )
