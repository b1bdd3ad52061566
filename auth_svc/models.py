"""The tables of the schema `auth`."""

from datetime import datetime
from pathlib import Path
from typing import ClassVar

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, LargeBinary, MetaData, Text, UniqueConstraint, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from svckit.identity import Role
from svckit.outbox import outbox_table

SCHEMA = "auth"
MIGRATIONS = Path(__file__).parent / "migrations"


class Base(DeclarativeBase):
    """Ids are UUIDv7 text in Python and `uuid` in PostgreSQL; times are aware UTC."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map: ClassVar[dict[type, object]] = {
        str: Text,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
    }


outbox = outbox_table(Base.metadata)


class User(Base):
    """An account. Nobody signs in to it before its address is verified."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    email: Mapped[str]
    """As it was typed: where mail is sent."""
    email_key: Mapped[str] = mapped_column(unique=True)
    """What makes two spellings one address; see `addresses.Address`."""
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str | None]
    """None: nobody signs in with a password."""
    created_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]

    @property
    def verified(self) -> bool:
        return self.verified_at is not None

    @property
    def as_role(self) -> Role:
        return Role(self.role)


class MailToken(Base):
    """What a mailed link carries, as its SHA-256: whoever reads this table cannot use it."""

    __tablename__ = "mail_tokens"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    """The kind of the letter that carried it."""
    letter_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    """A letter that is sent again carries a new token, and the one sent before stays good."""
    expires_at: Mapped[datetime]


class Letter(Base):
    """A mail that is to be sent, not yet written: its text, and its token, are made when it leaves.

    It names an address, not a user, because asking for one must look the same whether or not there is an account.
    """

    __tablename__ = "letters"
    __table_args__ = (Index("letters_due_at", "due_at"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    kind: Mapped[str]
    email_key: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    """When to try next; while a sender is at it, when another may take over."""
    expires_at: Mapped[datetime]
    """After this nobody wants it any more."""
    attempts: Mapped[int] = mapped_column(default=0)
    recipient: Mapped[str | None]
    """Where it goes when there is no account any more; else the account says so."""


class Mailing(Base):
    """That a letter which anybody can ask for was written lately; see `post`."""

    __tablename__ = "mailings"

    letter_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    email_key: Mapped[str] = mapped_column(index=True)
    written_at: Mapped[datetime]


class Session(Base):
    """One signed-in device. It lives until it is revoked or expires; see `sessions`."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_revoked_at", "revoked_at", postgresql_where="revoked_at IS NOT NULL"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    token_digest: Mapped[bytes] = mapped_column(unique=True)
    user_agent: Mapped[str]
    ip_address: Mapped[str]
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class RefreshToken(Base):
    """A refresh token of a session, as its SHA-256. One that was used stays, so that its reuse is noticed."""

    __tablename__ = "refresh_tokens"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey(Session.id, ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    salt: Mapped[bytes | None]
    """What makes its successor of it, while that may be asked for again; see `refreshing`."""


class ApiKey(Base):
    """A key for programs, as its SHA-256; see `api_keys`."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    session_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    """The `sid` of the access tokens that are made for it: another one from when those before must not count."""
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]


class Ending(Base):
    """A `sid` whose access tokens ended, where no session can say so: of an API key, or of a deleted account."""

    __tablename__ = "endings"

    session_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    ended_at: Mapped[datetime] = mapped_column(index=True)


class Identity(Base):
    """An account at an OpenID Connect provider that can sign in to one here; see `oidc.identities`."""

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint("issuer", "subject", name="identities_subject"),
        UniqueConstraint("user_id", "issuer", name="identities_one_each"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    provider: Mapped[str]
    """Its name here; who it really is, is the issuer."""
    issuer: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str]
    """As the provider had verified it at that time; may be empty."""
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class SecondFactor(Base):
    """An authenticator app's secret; see `second_factors`. It counts once it is confirmed."""

    __tablename__ = "second_factors"

    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    sealed: Mapped[str]
    """The secret, sealed under MFA_SECRET."""
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(BigInteger)
    """The time step of the last code that counted: no code of it or of one before counts again."""
    failures: Mapped[int]
    """Wrong codes since the last right one."""
    blocked_until: Mapped[datetime | None]


class RecoveryCode(Base):
    """A recovery code that was not used yet, as its SHA-256."""

    __tablename__ = "recovery_codes"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)


class Challenge(Base):
    """A sign-in that waits for its second factor, by its token's SHA-256; see `challenges`."""

    __tablename__ = "challenges"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    password_mark: Mapped[bytes]
    tries: Mapped[int]
    expires_at: Mapped[datetime]


class Attempts(Base):
    """How many passwords were tried for an account lately; see `attempts`. It may be an account that there is not."""

    __tablename__ = "attempts"

    account: Mapped[bytes] = mapped_column(primary_key=True)
    """SHA-256 of its address's key, so that this is no list of what people typed."""
    network: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    last_at: Mapped[datetime]
    blocked_until: Mapped[datetime]


class AuditEvent(Base):
    """Something that happened to an account; see `audit`. It outlives the account, so nothing refers to one."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("audit_events_user_id", "user_id", "id"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    created_at: Mapped[datetime]
    type: Mapped[str]
    user_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    actor_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    session_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    ip_address: Mapped[str]
    user_agent: Mapped[str]
    detail: Mapped[str]


class StoredKey(Base):
    """A key that signs access tokens. Its private half is sealed; see `sealing`."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(primary_key=True)
    x: Mapped[str]
    """The public half, base64url (RFC 8037)."""
    sealed: Mapped[str]
    created_at: Mapped[datetime]
    active_at: Mapped[datetime]
    """From when it signs: the newest that does is the one in use."""
