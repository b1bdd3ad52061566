"""The tables of the schema `chat`: conversations, the tree of messages in each, the generations that write answers."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    ForeignKey,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    Uuid,
    cast,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, REGCONFIG, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from svckit.outbox import outbox_table, processed_table

SCHEMA = "chat"
MIGRATIONS = Path(__file__).parent / "migrations"


class Author(StrEnum):
    """Who wrote a message."""

    USER = "user"
    ASSISTANT = "assistant"


class State(StrEnum):
    """How far a generation has come; it leaves RUNNING exactly once."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class FinishReason(StrEnum):
    """Why a model stopped writing."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    CANCELLED = "cancelled"
    # Nobody read it for too long.
    UNREAD = "unread"
    TIMEOUT = "timeout"
    ERROR = "error"


class Purpose(StrEnum):
    """What a model was asked for."""

    ANSWER = "answer"
    TITLE = "title"


class Base(DeclarativeBase):
    """Ids are UUIDv7 text in Python and `uuid` in PostgreSQL; times are aware UTC."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map: ClassVar[dict[type, object]] = {str: Text, datetime: DateTime(timezone=True)}


outbox = outbox_table(Base.metadata)
processed = processed_table(Base.metadata)


def searchable(words: str | ColumnElement[str]) -> ColumnElement[str]:
    """The words of a text, `words_of` it, as its row keeps them.

    Conversations are in all languages, mixed, so words are taken as they are: no language's endings or stop words.
    """
    return func.to_tsvector(cast("simple", REGCONFIG), words)


def title_words(words: str | ColumnElement[str]) -> ColumnElement[str]:
    """The same of a title, whose words count more."""
    return func.setweight(searchable(words), literal_column("'A'"))


class DeletedOwner(Base):
    """A user whose account was deleted: nothing more is kept of them, and this only so that nothing new comes."""

    __tablename__ = "deleted_owners"

    owner_id: Mapped[str] = mapped_column(primary_key=True)
    deleted_at: Mapped[datetime]


class Conversation(Base):
    """A conversation of one user. `owner_id` is auth's user id, opaque here."""

    __tablename__ = "conversations"
    __table_args__ = (
        Index("conversations_last_used", "owner_id", text("updated_at DESC"), text("id DESC")),
        Index("conversations_idempotency", "owner_id", "idempotency_key", unique=True),
        Index("conversations_search", "owner_id", "words", postgresql_using="gin"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    owner_id: Mapped[str]
    title: Mapped[str]
    system_prompt: Mapped[str]
    provider: Mapped[str]
    model: Mapped[str]
    archived: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    # The title's; written with it.
    words: Mapped[str] = mapped_column(TSVECTOR, deferred=True)
    # The leaf of the active branch. No foreign key: it would make a circle with messages.conversation_id.
    active_message_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    idempotency_key: Mapped[str | None]


class Message(Base):
    """One message of the tree. It is written once; an answer's text arrives whole, when its generation ends."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("messages_conversation", "conversation_id"),
        Index("messages_parent", "parent_id"),
        Index("messages_search", "owner_id", "words", postgresql_using="gin"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey(Conversation.id, ondelete="CASCADE"), nullable=False
    )
    parent_id: Mapped[str | None] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("chat.messages.id", ondelete="CASCADE")
    )
    # The conversation's, here too so that a search goes through the owner's messages only.
    owner_id: Mapped[str]
    # How many messages come before it on its branch: pages are cut by it.
    depth: Mapped[int]
    # A message further up the branch, or itself if it is a first; see tree.py. Never deleted before this one.
    skip_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    skip_depth: Mapped[int]
    author: Mapped[Author] = mapped_column(Text)
    text: Mapped[str]
    created_at: Mapped[datetime]
    # An answer's calls and a user's results, each an object with the members of providers.Call and providers.Result.
    tool_calls: Mapped[list[dict[str, str]] | None] = mapped_column(JSONB(none_as_null=True))
    tool_results: Mapped[list[dict[str, str]] | None] = mapped_column(JSONB(none_as_null=True))
    # What a model signed its calls with, for itself alone: `model`, as `provider/id`, and `calls`, each by its id.
    tool_signatures: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    # The text's; written with it.
    words: Mapped[str] = mapped_column(TSVECTOR, deferred=True)


class Generation(Base):
    """The writing of one answer: who was asked, how it ended, what it used. `runner` is the replica that writes it."""

    __tablename__ = "generations"
    __table_args__ = (
        Index("generations_idempotency", "owner_id", "idempotency_key", unique=True),
        Index("generations_running", "owner_id", postgresql_where=text("state = 'running'")),
        Index("generations_runner", "runner", postgresql_where=text("state = 'running'")),
        Index("generations_message", "message_id", unique=True),
        Index("generations_question", "user_message_id"),
        Index("generations_conversation", "conversation_id"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    owner_id: Mapped[str]
    # None, as the two below, of a chat completion, which is kept nowhere.
    conversation_id: Mapped[str | None] = mapped_column(
        Uuid(as_uuid=False), ForeignKey(Conversation.id, ondelete="CASCADE")
    )
    user_message_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey(Message.id, ondelete="CASCADE"))
    message_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey(Message.id, ondelete="CASCADE"))
    provider: Mapped[str]
    model: Mapped[str]
    runner: Mapped[str]
    state: Mapped[State] = mapped_column(Text)
    finish_reason: Mapped[FinishReason | None] = mapped_column(Text)
    # A code of failures.py; None unless it failed.
    error_code: Mapped[str | None]
    # None until it ends. Cached and cache-written tokens are part of the input, reasoning of the output.
    input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cached_input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cache_write_tokens: Mapped[int | None] = mapped_column(BigInteger)
    reasoning_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cost_micros: Mapped[int | None] = mapped_column(BigInteger)
    estimated: Mapped[bool | None]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    idempotency_key: Mapped[str | None]
    # Of the wish that the key stands for: see wishes.py.
    fingerprint: Mapped[bytes | None]
    # What the answer may ask for: see parts.Toolbox.
    tools: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class Attachment(Base):
    """A file of one user, kept once however often it is sent; deleted with the last message that has it."""

    __tablename__ = "attachments"
    __table_args__ = (UniqueConstraint("owner_id", "sha256", name="attachments_content"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    owner_id: Mapped[str]
    # Of the content.
    sha256: Mapped[bytes]
    media_type: Mapped[str]
    # In bytes.
    size: Mapped[int]
    data: Mapped[bytes]
    created_at: Mapped[datetime]


class MessageAttachment(Base):
    """Which files a message has, in their order."""

    __tablename__ = "message_attachments"
    __table_args__ = (Index("message_attachments_attachment", "attachment_id"),)

    message_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey(Message.id, ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    attachment_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey(Attachment.id))


class Entitlement(Base):
    """What billing said last of a user's plan. A limit of None is none; no models: all that the plan has."""

    __tablename__ = "entitlements"

    owner_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    plan: Mapped[str]
    tokens_per_period: Mapped[int | None] = mapped_column(BigInteger)
    overage: Mapped[bool]
    concurrent_generations: Mapped[int | None]
    models: Mapped[list[str]] = mapped_column(ARRAY(Text))
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]


class Reservation(Base):
    """Tokens of an owner's period that are held back for work that is being done; `runner` is the replica that does it.

    `work_id` is the generation's. No foreign key: the work goes on for a moment when its conversation is deleted.
    """

    __tablename__ = "reservations"
    __table_args__ = (Index("reservations_owner", "owner_id"), Index("reservations_runner", "runner"))

    work_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    owner_id: Mapped[str]
    # The owner's when it began.
    plan: Mapped[str]
    period_start: Mapped[datetime]
    tokens: Mapped[int] = mapped_column(BigInteger)
    runner: Mapped[str]


class Used(Base):
    """What an owner has used of one model in one period, added up. It outlives the conversations."""

    __tablename__ = "used"

    owner_id: Mapped[str] = mapped_column(primary_key=True)
    period_start: Mapped[datetime] = mapped_column(primary_key=True)
    purpose: Mapped[Purpose] = mapped_column(Text, primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    # Answers, or titles.
    works: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_input_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger)
    reasoning_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_micros: Mapped[int] = mapped_column(BigInteger)
    # Whether some of it is our guess.
    estimated: Mapped[bool]
