"""The SQL of attachments: each file once for each owner, for as long as one of the owner's messages has it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import ARRAY, Text, Uuid, any_, bindparam, delete, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc.models import Attachment, Message, MessageAttachment
from chat_svc.providers import Image
from chat_svc.rows import adding, values_of
from svckit.ids import new_id
from svckit.statements import Driver, Statement


@dataclass(frozen=True, slots=True)
class Reference:
    """An image of a message, without its bytes; `size` is how many it has."""

    id: str
    media_type: str
    size: int


_IDS = any_(bindparam("ids", type_=ARRAY(Uuid)))
_ADD, _ATTACH = adding(Attachment), adding(MessageAttachment)
_KNOWN = Statement(
    select(Attachment.id).where(
        Attachment.owner_id == bindparam("owner", type_=Text), Attachment.sha256 == bindparam("digest")
    )
)
_REFERENCES = Statement(
    select(MessageAttachment.message_id, Attachment.id, Attachment.media_type, Attachment.size)
    .join(Attachment, Attachment.id == MessageAttachment.attachment_id)
    .where(MessageAttachment.message_id == _IDS)
    .order_by(MessageAttachment.position)
)
_IMAGES = Statement(select(Attachment.id, Attachment.media_type, Attachment.data).where(Attachment.id == _IDS))


async def attach(driver: Driver, message: Message, images: Sequence[Image], *, now: datetime) -> None:
    """Keep the images as those of a message that is written already. The owner must have the turn: see `owners`."""
    for position, image in enumerate(images):
        attachment_id = await _keep(driver, image, owner_id=message.owner_id, now=now)
        kept = MessageAttachment(message_id=message.id, position=position, attachment_id=attachment_id)
        await _ATTACH.run(driver, values_of(kept))


async def find(session: AsyncSession, attachment_id: str, *, owner_id: str) -> Image | None:
    """The owner's attachment of that id."""
    query = select(Attachment.media_type, Attachment.data)
    row = (
        await session.execute(query.where(Attachment.id == attachment_id, Attachment.owner_id == owner_id))
    ).one_or_none()
    return Image(*row) if row else None


async def references(driver: Driver, message_ids: Sequence[str]) -> Mapping[str, Sequence[Reference]]:
    """The images of each message that has some, in their order."""
    found: defaultdict[str, list[Reference]] = defaultdict(list)
    for row in await _REFERENCES.rows(driver, {"ids": message_ids}):
        found[str(row["message_id"])].append(Reference(str(row["id"]), row["media_type"], row["size"]))
    return found


async def images(driver: Driver, attachment_ids: Sequence[str]) -> Mapping[str, Image]:
    """The attachments with their bytes, by their ids."""
    found = await _IMAGES.rows(driver, {"ids": attachment_ids})
    return {str(row["id"]): Image(row["media_type"], row["data"]) for row in found}


async def delete_unused(session: AsyncSession, owner_id: str) -> None:
    """Delete what none of the owner's messages has any more. The owner must have the turn."""
    used = exists().where(MessageAttachment.attachment_id == Attachment.id)
    await session.execute(delete(Attachment).where(Attachment.owner_id == owner_id, ~used))


async def _keep(driver: Driver, image: Image, *, owner_id: str, now: datetime) -> str:
    """The id of the owner's attachment with that content, which is made if there is none."""
    digest = sha256(image.data).digest()
    if found := await _KNOWN.rows(driver, {"owner": owner_id, "digest": digest}):
        return str(found[0]["id"])
    made = Attachment(
        id=new_id(),
        owner_id=owner_id,
        sha256=digest,
        media_type=image.media_type,
        size=len(image.data),
        data=image.data,
        created_at=now,
    )
    await _ADD.run(driver, values_of(made))
    return made.id
