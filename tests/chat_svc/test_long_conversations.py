"""A conversation of ten thousand messages: opened, paged and continued without reading all of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from llmock.pytest_plugin import LLMock
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from chat_svc import store, tree
from chat_svc.models import Author, Conversation, Message
from svckit import postgres
from svckit.postgres import Database
from tests.chat_svc.conftest import Replica
from tests.chat_svc.test_messages import pages
from tests.chat_svc.user import User, asked

MANY = 10_000
# Rows that a page of 20 may read: itself twice, and the way to it, which is logarithmic.
FEW = 200


async def fill(session: AsyncSession, conversation_id: str, *, many: int, text_of_each: str) -> list[str]:
    """One branch of that many messages below one another; their ids."""
    conversation = await session.get_one(Conversation, conversation_id)
    found: dict[str, Message] = {}
    parent: Message | None = None
    for number in range(many):
        author = Author.ASSISTANT if number % 2 else Author.USER
        skipped = found[parent.skip_id] if parent else None
        parent = tree.grown(parent, skipped, conversation, author=author, text=text_of_each, now=datetime.now(UTC))
        found[parent.id] = parent
    columns = [column.key for column in Message.__table__.columns if column.key != "words"]
    rows = [{name: getattr(message, name) for name in columns} | {"words": ""} for message in found.values()]
    await session.execute(insert(Message.__table__), rows)  # type: ignore[arg-type]
    await session.execute(
        update(Conversation).where(Conversation.id == conversation_id).values(active_message_id=[*found][-1])
    )
    await session.execute(text("ANALYZE chat.messages"))  # as autovacuum does, at a time of its own
    return list(found)


@asynccontextmanager
async def reading_few(database: Database) -> AsyncIterator[AsyncSession]:
    """A transaction that may read few messages."""
    async with database.transaction() as session:
        before = await rows_read(session)
        yield session
        assert await rows_read(session) - before < FEW


async def rows_read(session: AsyncSession) -> int:
    """How many messages this connection has read of late."""
    counted = text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'messages'")
    return int(await session.scalar(counted) or 0)


async def test_it_pages_in_both_directions_and_each_page_reads_little_more_than_itself(
    user: User, one: Replica, provider: LLMock
) -> None:
    made = await user.create()
    async with postgres.connected(str(one.settings.database_url)) as database:
        async with database.transaction() as session:
            ids = await fill(session, made.id, many=MANY, text_of_each="m")
        for after in (-1, 20, 4_321, MANY - 40):
            async with reading_few(database) as session:
                page = await store.oldest_of_branch(session, ids[-1], conversation_id=made.id, after=after, limit=21)
            assert [told.message.id for told in page] == ids[after + 1 : after + 22]
        async with reading_few(database) as session:
            await store.newest_of_branch(session, ids[5_000], conversation_id=made.id, limit=21)
        async with reading_few(database) as session:
            await store.history(await postgres.driver_of(session), ids[-1], size=2_400, each=24)

    found = await pages(user, made.id, most=10, page_size=100)
    backwards = await pages(user, made.id, most=10, page_size=100, newest_first=True)
    answered = await user.send("and now?", conversation_id=made.id)

    assert [id_ for page in found for id_ in page] == ids[:1_000]
    assert [id_ for page in backwards for id_ in page] == ids[:-1_001:-1]
    assert answered.message.state == pb.STATE_DONE
    assert 100 < len(asked(provider)) < 1_000


async def test_a_page_of_long_messages_has_fewer_so_that_it_can_be_answered(user: User, one: Replica) -> None:
    made = await user.create()
    async with postgres.connected(str(one.settings.database_url)) as database, database.transaction() as session:
        ids = await fill(session, made.id, many=20, text_of_each="x" * 1_000_000)

    found = await pages(user, made.id, page_size=100)
    backwards = await pages(user, made.id, page_size=100, newest_first=True)

    assert found == [ids[first : first + 4] for first in range(0, 20, 4)]
    assert [id_ for page in backwards for id_ in page] == ids[::-1]


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4, 5, 6])
async def test_branches_of_any_depth_page_from_their_beginning(user: User, depth: int) -> None:
    sent = await user.send("0")
    parents = [sent.user_message_id, sent.message.id]
    id_ = sent.conversation_id
    while len(parents) <= depth:
        sent = await user.send(str(len(parents)), conversation_id=id_)
        parents += [sent.user_message_id, sent.message.id]

    branched = await user.send("branch", conversation_id=id_, parent_id=parents[depth])

    expected = [*parents[: depth + 1], branched.user_message_id, branched.message.id]
    assert await pages(user, id_, page_size=2) == [expected[n : n + 2] for n in range(0, len(expected), 2)]
