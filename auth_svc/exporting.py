"""All that auth keeps about one person, for that person; no secret is part of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from auth_svc import (
    api_key_store,
    audit_store,
    identity_store,
    second_factor_store,
    session_store,
    sessions,
    user_store,
)
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.models import ApiKey, AuditEvent, Identity, Session, User
from svckit.errors import Unauthenticated
from svckit.postgres import Database

_MOST = 1_000
"""Rows of a kind: no person has more, and a program that signs in all the time needs no list of it."""


@dataclass(frozen=True, slots=True)
class Export:
    """What there is."""

    user: User
    mfa_enabled: bool
    identities: Sequence[Identity]
    sessions: Sequence[Session]
    api_keys: Sequence[ApiKey]
    audit_events: Sequence[AuditEvent]


class Exporting:
    """Collects it."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def export(self, caller: Caller) -> Export:
        """Everything about the caller; FailedPrecondition (SESSION_NEEDED) for an API key."""
        owner = caller.user_id
        async with self._database.transaction() as session:
            await sessions.own_session(session, caller, now=self._clock())
            if (user := await user_store.find_user(session, owner)) is None:
                raise Unauthenticated("the account is no more", reason="TOKEN_INVALID")
            return Export(
                user=user,
                mfa_enabled=await second_factor_store.find_confirmed(session, owner) is not None,
                identities=await identity_store.of_user(session, owner),
                sessions=await session_store.sessions_of(session, owner, limit=_MOST),
                api_keys=await api_key_store.api_keys(session, owner, limit=_MOST, before=""),
                audit_events=await audit_store.audit_events(session, user_id=owner, type_="", limit=_MOST, before=""),
            )
