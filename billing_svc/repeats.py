"""Requests that carry a key: the first one makes a row, and what it is answered is answered to every repeat.

https://www.ietf.org/archive/id/draft-ietf-httpapi-idempotency-key-header-07.html; answers are kept for 24 hours.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import payment_store
from billing_svc.models import Answer
from billing_svc.payment_store import BEGUN, MadeT
from svckit.errors import Aborted, Unprocessable
from svckit.postgres import Database

# Longer than an RPC may take: a request that is older than that has died.
LEASE = timedelta(seconds=30)

_FIELD = "idempotency_key"

MessageT = TypeVar("MessageT", bound=Message)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one user asks of one RPC under a key; without a key nothing is kept of it."""

    user_id: str
    rpc: str
    key: str
    fingerprint: bytes

    @classmethod
    def of(cls, request: Message, *, user_id: str) -> "Asked":
        """Of a request with a field `idempotency_key`; equal requests have equal fingerprints."""
        bare = type(request)()
        bare.CopyFrom(request)
        bare.ClearField(_FIELD)
        fingerprint = hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()
        return cls(user_id, request.DESCRIPTOR.name.removesuffix("Request"), getattr(request, _FIELD), fingerprint)


class InProgress(Aborted):
    """The same request is being worked on."""

    def __init__(self) -> None:
        super().__init__("the same request is being worked on, wait for it", reason="IDEMPOTENCY_IN_PROGRESS")


async def begin(session: AsyncSession, asked: Asked, *, row_id: str, now: datetime) -> bool:
    """Have the request make that row; false when an earlier one with its key made another."""
    if not asked.key:
        return True
    row = Answer(
        user_id=asked.user_id,
        rpc=asked.rpc,
        key=asked.key,
        request=asked.fingerprint,
        row_id=row_id,
        created_at=now,
    )
    return await payment_store.keep_key(session, row)


async def known(session: AsyncSession, asked: Asked) -> Answer | None:
    """What is kept of an earlier request with the key. Raises Unprocessable when that asked for something else."""
    found = await payment_store.answer(session, asked.user_id, asked.rpc, asked.key) if asked.key else None
    if found is not None and found.request != asked.fingerprint:
        raise Unprocessable.of(_FIELD, "was used with another request", reason="IDEMPOTENCY_KEY_REUSED")
    return found


async def earlier(session: AsyncSession, kind: type[MadeT], asked: Asked, *, now: datetime) -> MadeT:
    """The row of an earlier request with the key, taken over if nobody is at work on it. Raises InProgress."""
    answer = await known(session, asked)
    row = await payment_store.find(session, kind, answer.row_id) if answer else None
    if row is None:
        raise InProgress
    if row.status == BEGUN and not await payment_store.take(session, kind, row.id, now=now, lease=LEASE):
        raise InProgress
    return row


@dataclass(frozen=True, slots=True)
class FirstAnswers:
    """The answers that repeats are given."""

    database: Database

    async def recall(self, asked: Asked, kind: type[MessageT]) -> MessageT | None:
        """What the first request was answered; None if it was not answered yet. Raises as `known` does."""
        async with self.database.transaction() as session:
            found = await known(session, asked)
        return kind.FromString(found.answer) if found and found.answer is not None else None

    async def keep(self, asked: Asked, answer: MessageT) -> MessageT:
        """Make that the first answer, unless there is one; the first one."""
        if not asked.key:
            return answer
        async with self.database.transaction() as session:
            first = await payment_store.keep_answer(
                session, asked.user_id, asked.rpc, asked.key, answer.SerializeToString()
            )
        return type(answer).FromString(first)
