"""What administrators do to accounts: look at them, change roles, disable and enable them, read what happened."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import audit, audit_store, session_store, texts, user_store
from auth_svc.audit import Fact
from auth_svc.caller import Caller
from auth_svc.clock import Clock
from auth_svc.endings import Endings
from auth_svc.models import AuditEvent, User
from svckit.errors import FailedPrecondition, NotFound
from svckit.identity import Role
from svckit.postgres import Database


async def keep_an_administrator(session: AsyncSession, user: User) -> None:
    """FailedPrecondition (LAST_ADMIN) if the installation would have no administrator without that user.

    Call it after `user_store.lock_administrators`, or two that go at once would each take the other for the one who
    stays.
    """
    administers = user.role == Role.ADMIN and user.disabled_at is None
    if administers and await user_store.other_administrators(session, user.id) == 0:
        raise FailedPrecondition("there would be no administrator left", reason="LAST_ADMIN")


class Administration:
    """Serves administrators; that the caller is one is checked by the contract."""

    def __init__(self, *, database: Database, endings: Endings, clock: Clock) -> None:
        self._database = database
        self._endings = endings
        self._clock = clock

    async def list_users(self, *, query: str, limit: int, before: str) -> Sequence[User]:
        """Newest first; those whose address or name contains `query`, made before the one with the id `before`."""
        wanted = texts.line("query", query)
        async with self._database.transaction() as session:
            return await user_store.users(session, containing=wanted, limit=limit, before=before)

    async def get_user(self, user_id: str) -> User:
        """Raises NotFound."""
        async with self._database.transaction() as session:
            user = await user_store.find_user(session, user_id)
        if user is None:
            raise _no_such_account()
        return user

    async def update_user(self, user_id: str, *, role: Role | None, disabled: bool | None, caller: Caller) -> User:
        """Change what is not None, and end the account's sessions if anything was; NotFound, FailedPrecondition."""
        now = self._clock()
        async with self._database.transaction() as session:
            await user_store.lock_administrators(session)
            user = await user_store.lock_user(session, user_id)
            if user is None:
                raise _no_such_account()
            facts = _changes(user, role, disabled)
            if disabled or role not in (None, Role.ADMIN):
                await keep_an_administrator(session, user)
            for fact, detail in facts:
                audit.note(session, fact, user_id=user.id, caller=caller, now=now, detail=detail)
            user.role = role or user.role
            if disabled is not None:
                user.disabled_at = (user.disabled_at or now) if disabled else None
            ended = await session_store.end_access(session, user.id, now=now) if facts else []
        await self._endings.announce(ended)
        return user

    async def list_audit_events(self, *, user_id: str, type_: str, limit: int, before: str) -> Sequence[AuditEvent]:
        """Newest first; empty texts do not narrow the list."""
        async with self._database.transaction() as session:
            return await audit_store.audit_events(session, user_id=user_id, type_=type_, limit=limit, before=before)


def _changes(user: User, role: Role | None, disabled: bool | None) -> Sequence[tuple[Fact, str]]:
    """What would be different, as the audit log says it."""
    facts = []
    if role not in (None, user.as_role):
        facts.append((Fact.ROLE_CHANGED, str(role)))
    if disabled not in (None, user.disabled_at is not None):
        facts.append((Fact.USER_DISABLED if disabled else Fact.USER_ENABLED, ""))
    return facts


def _no_such_account() -> NotFound:
    return NotFound("there is no such account")
