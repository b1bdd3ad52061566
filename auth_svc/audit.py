"""What happened to accounts that matters to their safety: written with the change itself, read by administrators.

It holds ids and where a call came from, and never an address that somebody typed, a name, or a secret.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.caller import Caller
from auth_svc.models import AuditEvent
from svckit.ids import new_id


class Fact(StrEnum):
    """What happened."""

    SIGN_IN_FAILED = "sign_in.failed"
    SESSION_OPENED = "session.opened"
    SESSION_ENDED = "session.ended"
    OTHER_SESSIONS_ENDED = "session.others_ended"
    REFRESH_TOKEN_REUSED = "refresh_token.reused"  # noqa: S105 - a name
    PASSWORD_WRONG = "password.wrong"  # noqa: S105 - a name
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - a name
    PASSWORD_RESET = "password.reset"  # noqa: S105 - a name
    USER_VERIFIED = "user.verified"
    USER_DELETED = "user.deleted"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    ROLE_CHANGED = "user.role_changed"
    IDENTITY_LINKED = "identity.linked"
    IDENTITY_UNLINKED = "identity.unlinked"
    MFA_ENABLED = "mfa.enabled"
    MFA_DISABLED = "mfa.disabled"
    MFA_CODE_WRONG = "mfa.code_wrong"
    RECOVERY_CODE_USED = "mfa.recovery_code_used"
    RECOVERY_CODES_MADE = "mfa.recovery_codes_made"
    API_KEY_MADE = "api_key.made"
    API_KEY_DELETED = "api_key.deleted"


def note(
    session: AsyncSession,
    fact: Fact,
    *,
    user_id: str | None,
    caller: Caller,
    now: datetime,
    session_id: str = "",
    detail: str = "",
) -> None:
    """Have the fact kept if the transaction commits. `session_id` is the caller's own if there is no other."""
    session.add(event(fact, user_id=user_id, caller=caller, now=now, session_id=session_id, detail=detail))


def event(
    fact: Fact, *, user_id: str | None, caller: Caller, now: datetime, session_id: str = "", detail: str = ""
) -> AuditEvent:
    """The same, to be kept together with something else."""
    return AuditEvent(
        id=new_id(),
        created_at=now,
        type=fact,
        user_id=user_id,
        actor_id=caller.user_id or None,
        session_id=session_id or caller.session_id or None,
        ip_address=caller.ip_address,
        user_agent=caller.user_agent,
        detail=detail,
    )
