"""The SQL of the chat service, but for that of plans and quotas (usage_store.py) and of answers (answer_store.py).

Whoever reads for a caller names the owner: what is somebody else's is not found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    Label,
    ScalarSelect,
    Select,
    Text,
    UnaryExpression,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from chat_svc.models import (
    Conversation,
    DeletedOwner,
    Generation,
    Message,
    Reservation,
    State,
    title_words,
)
from chat_svc.rows import row_of
from chat_svc.words import query_of, words_of
from svckit.statements import Driver, Statement

_LESS_WHERE_LONG = 1  # ts_rank_cd divides by the logarithm of a text's length
_RANKS = 1_000_000
# A page of messages has hardly more, so that it fits into a gRPC message; the longest message alone has a few.
_PAGE_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation that a search has found, and how well it matches; more is better."""

    conversation: Conversation
    rank: int


@dataclass(frozen=True, slots=True)
class Told:
    """A message; if it is an answer, with the generation that has written it or still writes it."""

    message: Message
    generation: Generation | None


@dataclass(frozen=True, slots=True)
class Answer(Told):
    """An answer with its generation."""

    generation: Generation


_LOCK_OWNER = Statement(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("lock", type_=Text), 0))))
_IS_DELETED = Statement(
    select(exists().where(DeletedOwner.owner_id == bindparam("owner", type_=Text)).label("deleted"))
)


async def lock_owner(driver: Driver, owner_id: str) -> None:
    """Let the owner's sends take turns: nobody counts running generations while another one is being added."""
    await _LOCK_OWNER.run(driver, {"lock": f"chat:owner:{owner_id}"})


async def owner_is_deleted(driver: Driver, owner_id: str) -> bool:
    (found,) = await _IS_DELETED.rows(driver, {"owner": owner_id})
    return bool(found["deleted"])


async def add_deleted_owner(session: AsyncSession, owner_id: str, *, now: datetime) -> None:
    """Note that the owner's account was deleted; again is fine."""
    await session.execute(insert(DeletedOwner).values(owner_id=owner_id, deleted_at=now).on_conflict_do_nothing())


# --- conversations


async def find_conversation(
    session: AsyncSession, conversation_id: str, *, owner_id: str, lock: bool = False
) -> Conversation | None:
    """The owner's conversation; `lock` holds it against other changes until the transaction ends."""
    query = select(Conversation).where(Conversation.id == conversation_id, Conversation.owner_id == owner_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def conversation_of_key(session: AsyncSession, key: str, *, owner_id: str) -> Conversation | None:
    """The conversation that the owner has made under that idempotency key."""
    return await session.scalar(
        select(Conversation).where(Conversation.owner_id == owner_id, Conversation.idempotency_key == key)
    )


async def list_conversations(
    session: AsyncSession, *, owner_id: str, archived: bool | None, after: tuple[datetime, str] | None, limit: int
) -> Sequence[Conversation]:
    """The owner's conversations, last used first, those after that time and id."""
    query = select(Conversation).where(Conversation.owner_id == owner_id)
    if archived is not None:
        query = query.where(Conversation.archived == archived)
    if after is not None:
        query = query.where(tuple_(Conversation.updated_at, Conversation.id) < after)
    query = query.order_by(Conversation.updated_at.desc(), Conversation.id.desc()).limit(limit)
    return (await session.scalars(query)).all()


async def search_conversations(
    session: AsyncSession, *, owner_id: str, q: str, after: tuple[int, str] | None, limit: int
) -> Sequence[Found]:
    """The owner's conversations whose title, or a message, is what `q` asks for; best first, after that rank and id."""
    wanted = func.websearch_to_tsquery(cast("simple", REGCONFIG), query_of(q))
    matches = union_all(
        select(Conversation.id, _rank(Conversation.words, wanted)).where(
            Conversation.owner_id == owner_id, Conversation.words.bool_op("@@")(wanted)
        ),
        select(Message.conversation_id, _rank(Message.words, wanted)).where(
            Message.owner_id == owner_id, Message.words.bool_op("@@")(wanted)
        ),
    ).subquery()
    best = func.max(matches.c.rank).label("best")
    ranked = select(matches.c.id, best).group_by(matches.c.id).subquery()
    query = select(Conversation, ranked.c.best).join(ranked, ranked.c.id == Conversation.id)
    if after is not None:
        query = query.where(tuple_(ranked.c.best, Conversation.id) < after)
    query = query.order_by(ranked.c.best.desc(), Conversation.id.desc()).limit(limit)
    return [Found(conversation, rank) for conversation, rank in await session.execute(query)]


async def retitle(session: AsyncSession, conversation_id: str, title: str, *, instead_of: str) -> bool:
    """Give the conversation a title in place of that one; False if it has another by now, or is deleted."""
    columns = {"title": title, "words": title_words(words_of(title))}
    statement = update(Conversation).where(Conversation.id == conversation_id, Conversation.title == instead_of)
    return await session.scalar(statement.values(columns).returning(Conversation.id)) is not None


async def delete_conversation(session: AsyncSession, conversation_id: str) -> None:
    """Delete it with its messages and generations."""
    await session.execute(delete(Conversation).where(Conversation.id == conversation_id))


async def delete_conversations_of(session: AsyncSession, owner_id: str) -> None:
    """Delete all of the owner's, with their messages and generations, and generations without a conversation."""
    await session.execute(delete(Conversation).where(Conversation.owner_id == owner_id))
    await session.execute(delete(Generation).where(Generation.owner_id == owner_id))


def _rank(words: InstrumentedAttribute[str], wanted: ColumnElement[str]) -> Label[int]:
    """How well they match, a whole number so that page tokens are exact; long texts count less for each word."""
    rank = func.ts_rank_cd(words, wanted, _LESS_WHERE_LONG) * _RANKS
    return cast(rank, BigInteger).label("rank")


# --- messages


async def oldest_of_branch(
    session: AsyncSession, leaf_id: str, *, conversation_id: str, after: int, limit: int
) -> Sequence[Told]:
    """The branch that ends in `leaf_id`, first message first, from below depth `after` on; reads little more of it.

    Fewer than `limit` when they are long, but one at least.
    """
    last = _upwards(leaf_id, conversation_id, depth=after + limit)
    branch = _leaf(select(last.c.id).order_by(last.c.depth).limit(1).scalar_subquery(), conversation_id)
    branch = branch.union_all(_parents(branch).where(branch.c.depth > after + 1))
    return await _page(session, branch, after=after, order=Message.depth.asc())


async def newest_of_branch(session: AsyncSession, leaf_id: str, *, conversation_id: str, limit: int) -> Sequence[Told]:
    """The branch that ends in `leaf_id`, last message first; reads no more of it than that.

    Fewer than `limit` when they are long, but one at least.
    """
    branch = _leaf(leaf_id, conversation_id)
    branch = branch.union_all(_parents(branch).where(branch.c.step < limit))
    return await _page(session, branch, after=-1, order=Message.depth.desc())


async def history(driver: Driver, message_id: str, *, size: int, each: int) -> Sequence[Message]:
    """The message and those before it, newest first, until about that many bytes with `each` more a message."""
    found = await _HISTORY.rows(driver, {"leaf": message_id, "size": size, "each": each})
    return [row_of(Message, row) for row in found]


async def message_of(session: AsyncSession, generation: Generation) -> Message | None:
    """The answer that it writes; None of a completion, which is not kept."""
    return await session.get(Message, generation.message_id) if generation.message_id else None


def _upwards(leaf_id: str, conversation_id: str, *, depth: int) -> CTE:
    """From a leaf to that depth of its branch, by skips as long as they do not lead past it."""
    columns = Message.id, Message.parent_id, Message.depth, Message.skip_id, Message.skip_depth
    way = select(*columns).where(Message.id == leaf_id, Message.conversation_id == conversation_id).cte(recursive=True)
    above = aliased(Message)
    following = case((way.c.skip_depth >= depth, way.c.skip_id), else_=way.c.parent_id)
    step = select(above.id, above.parent_id, above.depth, above.skip_id, above.skip_depth)
    return way.union_all(step.join(way, above.id == following).where(way.c.depth > depth))


def _leaf(leaf_id: str | ScalarSelect[str], conversation_id: str) -> CTE:
    """The last message of a branch, to be united with what comes before it."""
    leaf = select(Message.id, Message.parent_id, Message.depth, literal(1).label("step"))
    return leaf.where(Message.id == leaf_id, Message.conversation_id == conversation_id).cte(recursive=True)


def _parents(branch: CTE) -> Select[str, str | None, int, int]:
    parent = aliased(Message)
    parents = select(parent.id, parent.parent_id, parent.depth, branch.c.step + 1)
    return parents.join(branch, parent.id == branch.c.parent_id)


async def _page(session: AsyncSession, branch: CTE, *, after: int, order: UnaryExpression[int]) -> Sequence[Told]:
    """The branch's messages below that depth, in that order, with their generations, until about `_PAGE_BYTES`."""
    before = (func.sum(_bytes(Message)).over(order_by=order) - _bytes(Message)).label("before")
    sized = select(Message.id, before).join(branch, branch.c.id == Message.id).where(branch.c.depth > after).subquery()
    query = select(Message, Generation).join(sized, sized.c.id == Message.id).where(sized.c.before < _PAGE_BYTES)
    query = query.join(Generation, Generation.message_id == Message.id, isouter=True).order_by(order)
    return [Told(message, generation) for message, generation in await session.execute(query)]


def _bytes(message: type[Message]) -> ColumnElement[int]:
    """How long a message is, with its calls and results; reads no text for it."""
    brought = [
        func.coalesce(func.octet_length(cast(column, Text)), 0) for column in (message.tool_calls, message.tool_results)
    ]
    return func.octet_length(message.text) + brought[0] + brought[1]


def _history() -> Select[Message]:
    each, size = bindparam("each", type_=Integer), bindparam("size", type_=Integer)
    spent = (_bytes(Message) + each).label("spent")
    branch = select(Message.id, Message.parent_id, spent).where(Message.id == bindparam("leaf")).cte(recursive=True)
    parent = aliased(Message)
    before = select(parent.id, parent.parent_id, branch.c.spent + _bytes(parent) + each)
    before = before.join(branch, parent.id == branch.c.parent_id).where(branch.c.spent < size)
    branch = branch.union_all(before)
    return select(Message).join(branch, branch.c.id == Message.id).order_by(Message.depth.desc())


_HISTORY = Statement(_history())


# --- generations


async def find_generation(session: AsyncSession, generation_id: str, *, owner_id: str) -> Generation | None:
    """The owner's generation in a conversation; completions belong to whoever waits for them."""
    query = select(Generation).where(Generation.id == generation_id, Generation.owner_id == owner_id)
    return await session.scalar(query.where(Generation.conversation_id.is_not(None)))


async def find_answer(session: AsyncSession, generation_id: str, *, owner_id: str) -> Answer | None:
    """The owner's generation with the answer that it writes."""
    query = select(Message, Generation).join(Generation, Generation.message_id == Message.id)
    query = query.where(Generation.id == generation_id, Generation.owner_id == owner_id)
    row = (await session.execute(query)).one_or_none()
    return Answer(*row) if row else None


async def running_in(session: AsyncSession, conversation_id: str) -> Sequence[str]:
    """The ids of the generations that run in a conversation."""
    query = select(Generation.id).where(
        Generation.conversation_id == conversation_id, Generation.state == State.RUNNING
    )
    return (await session.scalars(query)).all()


async def running_of(session: AsyncSession, owner_id: str) -> Sequence[str]:
    """The ids of the owner's generations that run."""
    query = select(Generation.id).where(Generation.owner_id == owner_id, Generation.state == State.RUNNING)
    return (await session.scalars(query)).all()


async def runners(session: AsyncSession) -> Sequence[str]:
    """The replicas that have work to do, or had when they were last heard of."""
    writing = select(Generation.runner).where(Generation.state == State.RUNNING)
    return (await session.scalars(writing.union(select(Reservation.runner)))).all()


async def running_on(session: AsyncSession, runner: str, *, since_before: datetime) -> Sequence[Generation]:
    """The generations of a replica that run since before that time."""
    query = select(Generation).where(
        Generation.runner == runner, Generation.state == State.RUNNING, Generation.created_at < since_before
    )
    return (await session.scalars(query)).all()


async def change_model(session: AsyncSession, generation_id: str, *, provider: str, model: str) -> Generation | None:
    """Have another model answer; None when it has ended before or was deleted."""
    return await session.scalar(
        update(Generation)
        .where(Generation.id == generation_id, Generation.state == State.RUNNING)
        .values(provider=provider, model=model)
        .returning(Generation)
    )
