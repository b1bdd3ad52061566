"""The SQL of attachments: each file once for each owner, for as long as one of the owner's messages has it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc.models import Attachment, Message, MessageAttachment
from chat_svc.providers import Image
from svckit.ids import new_id


@dataclass(frozen=True, slots=True)
class Reference:
    """An image of a message, without its bytes; `size` is how many it has."""

    id: str
    media_type: str
    size: int


async def attach(session: AsyncSession, message: Message, images: Sequence[Image], *, now: datetime) -> None:
    """Keep the images as those of a message that is written already. The owner must have the turn: see `owners`."""
    for position, image in enumerate(images):
        attachment_id = await _keep(session, image, owner_id=message.owner_id, now=now)
        session.add(MessageAttachment(message_id=message.id, position=position, attachment_id=attachment_id))


async def find(session: AsyncSession, attachment_id: str, *, owner_id: str) -> Image | None:
    """The owner's attachment of that id."""
    query = select(Attachment.media_type, Attachment.data)
    row = (
        await session.execute(query.where(Attachment.id == attachment_id, Attachment.owner_id == owner_id))
    ).one_or_none()
    return Image(*row) if row else None


async def references(session: AsyncSession, message_ids: Sequence[str]) -> Mapping[str, Sequence[Reference]]:
    """The images of each message that has some, in their order."""
    columns = MessageAttachment.message_id, Attachment.id, Attachment.media_type, Attachment.size
    query = select(*columns).join(Attachment, Attachment.id == MessageAttachment.attachment_id)
    query = query.where(MessageAttachment.message_id.in_(message_ids)).order_by(MessageAttachment.position)
    found: defaultdict[str, list[Reference]] = defaultdict(list)
    for row in await session.execute(query):
        found[row.message_id].append(Reference(row.id, row.media_type, row.size))
    return found


async def images(session: AsyncSession, attachment_ids: Sequence[str]) -> Mapping[str, Image]:
    """The attachments with their bytes, by their ids."""
    query = select(Attachment.id, Attachment.media_type, Attachment.data).where(Attachment.id.in_(attachment_ids))
    return {row.id: Image(row.media_type, row.data) for row in await session.execute(query)}


async def delete_unused(session: AsyncSession, owner_id: str) -> None:
    """Delete what none of the owner's messages has any more. The owner must have the turn."""
    used = exists().where(MessageAttachment.attachment_id == Attachment.id)
    await session.execute(delete(Attachment).where(Attachment.owner_id == owner_id, ~used))


async def _keep(session: AsyncSession, image: Image, *, owner_id: str, now: datetime) -> str:
    """The id of the owner's attachment with that content, which is made if there is none."""
    digest = sha256(image.data).digest()
    known = select(Attachment.id).where(Attachment.owner_id == owner_id, Attachment.sha256 == digest)
    if found := await session.scalar(known):
        return found
    made = insert(Attachment).values(
        id=new_id(),
        owner_id=owner_id,
        sha256=digest,
        media_type=image.media_type,
        size=len(image.data),
        data=image.data,
        created_at=now,
    )
    return (await session.execute(made.returning(Attachment.id))).scalar_one()
