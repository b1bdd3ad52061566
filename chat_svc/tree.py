"""The tree of messages: what a new one has of the one that it hangs below, and how far up its branch it points."""

from datetime import datetime

from chat_svc import answer_store
from chat_svc.models import Author, Conversation, Message
from svckit.ids import new_id
from svckit.statements import Driver


async def below(
    driver: Driver,
    parent: Message | None,
    conversation: Conversation,
    *,
    author: Author,
    text: str,
    now: datetime,
) -> Message:
    """A new message of the conversation below that parent; None: a first one."""
    skipped = await answer_store.skipped_to(driver, parent) if parent else None
    return grown(parent, skipped, conversation, author=author, text=text, now=now)


def grown(
    parent: Message | None,
    skipped: Message | None,
    conversation: Conversation,
    *,
    author: Author,
    text: str,
    now: datetime,
) -> Message:
    """The same, given the message that the parent skips to."""
    message = Message(
        id=new_id(),
        conversation_id=conversation.id,
        owner_id=conversation.owner_id,
        parent_id=parent.id if parent else None,
        depth=parent.depth + 1 if parent else 0,
        author=author,
        text=text,
        created_at=now,
    )
    message.skip_id, message.skip_depth = _skip(message, parent, skipped)
    return message


def _skip(message: Message, parent: Message | None, skipped: Message | None) -> tuple[str, int]:
    """The id and depth of a message further up, chosen so that each depth of a branch is found in few steps.

    When the last two skips on the way up were equally long, one skip spans both, so their lengths are those of a
    skew-binary number. E. W. Myers, "An applicative random-access stack", 1983.
    """
    if parent is None or skipped is None:
        return message.id, 0
    if parent.depth - skipped.depth == skipped.depth - skipped.skip_depth:
        return skipped.skip_id, skipped.skip_depth
    return parent.id, parent.depth
