"""The SQL of what administrators read of the past."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc.models import AuditEvent


async def audit_events(
    session: AsyncSession, *, user_id: str, type_: str, limit: int, before: str
) -> Sequence[AuditEvent]:
    """Newest first; each text that is not empty narrows the list, `before` to those with smaller ids."""
    narrowed = [
        condition
        for text, condition in (
            (user_id, AuditEvent.user_id == user_id),
            (type_, AuditEvent.type == type_),
            (before, AuditEvent.id < before),
        )
        if text
    ]
    return (
        await session.scalars(select(AuditEvent).where(*narrowed).order_by(AuditEvent.id.desc()).limit(limit))
    ).all()
