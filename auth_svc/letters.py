"""The letters that people get: which kinds there are, how long each is worth sending, and what they say.

No letter contains anything that a stranger could have typed, such as a name: whoever signs up with somebody else's
address must not be able to write to them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from enum import StrEnum
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import quote

from auth_svc import addresses
from auth_svc.models import Letter
from svckit.ids import new_id


class Kind(StrEnum):
    """Which letter; the name of its templates."""

    VERIFY_ADDRESS = "verify_address"
    ACCOUNT_EXISTS = "account_exists"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a name
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a name
    SESSION_STOLEN = "session_stolen"
    API_KEY_MADE = "api_key_made"
    IDENTITY_LINKED = "identity_linked"
    IDENTITY_UNLINKED = "identity_unlinked"
    MFA_ENABLED = "mfa_enabled"
    MFA_DISABLED = "mfa_disabled"
    RECOVERY_CODE_USED = "recovery_code_used"
    ACCOUNT_DELETED = "account_deleted"

    @property
    def lifetime(self) -> timedelta:
        """How long the letter is worth sending, and how long the token that it carries is good after that."""
        return timedelta(hours=1) if self is Kind.RESET_PASSWORD else timedelta(hours=24)

    @property
    def for_the_asking(self) -> bool:
        """Whether anybody can have it sent to somebody else."""
        return self in {Kind.VERIFY_ADDRESS, Kind.ACCOUNT_EXISTS, Kind.RESET_PASSWORD}

    @property
    def carries_token(self) -> bool:
        return self in _PAGES


# The page of the product that a letter's link opens, and the RPC that its token is for.
_PAGES = {Kind.VERIFY_ADDRESS: "verify-email", Kind.RESET_PASSWORD: "reset-password"}
_TEMPLATES = files("auth_svc") / "templates"


def letter(kind: Kind, email_key: str, *, now: datetime, recipient: str | None = None) -> Letter:
    """A new letter to that account, due at once; to `recipient` if the account will be gone."""
    return Letter(
        id=new_id(),
        kind=kind,
        email_key=email_key,
        created_at=now,
        due_at=now,
        expires_at=now + kind.lifetime,
        attempts=0,
        recipient=recipient,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stationery:
    """What all letters of an installation share."""

    sender: str
    """`Name <address>`."""
    public_url: str
    """What links begin with. It is configured: a Host header, which anybody can send, never gets into a mail."""
    for_developers: bool
    """Show the commands that do what the links do; there may be no front end that serves the links."""

    def write(self, letter: Letter, *, to: str, token: str, now: datetime) -> EmailMessage:
        """The mail. Its Message-ID is the letter's, so that one that is sent twice can be told."""
        kind = Kind(letter.kind)
        values = self._values(kind, token)
        subject, _, text = _filled(f"{kind}.txt", values).partition("\n\n")
        if self.for_developers and kind.carries_token:
            text += _filled(f"{kind}.developers.txt", values)
        html = _filled(f"{kind}.html", {name: escape(value) for name, value in values.items()})
        message = self._addressed(letter, to=to, now=now)
        message["Subject"] = subject.removeprefix("Subject: ")
        # 7bit, or the encoder would break long links into lines, which people who read the raw mail stumble over.
        message.set_content(text, cte="7bit")
        message.add_alternative(html, subtype="html", cte="7bit")
        return message

    def _addressed(self, letter: Letter, *, to: str, now: datetime) -> EmailMessage:
        message = EmailMessage()
        name, address = parseaddr(self.sender)
        message["From"] = Mailbox(display_name=name, addr_spec=address)
        # In two parts: as one, Python refuses a local part that is not ASCII, which RFC 6531 allows.
        local, _, domain = addresses.deliverable(to).rpartition("@")
        message["To"] = Mailbox(username=local, domain=domain)
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{letter.id}@{address.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
        return message

    def _values(self, kind: Kind, token: str) -> dict[str, str]:
        base = self.public_url.rstrip("/")
        page = f"{base}/{_PAGES[kind]}" if kind in _PAGES else base
        return {"base": base, "link": f"{page}?token={quote(token)}", "token": token}


def _filled(template: str, values: dict[str, str]) -> str:
    return Template((_TEMPLATES / template).read_text(encoding="ascii")).substitute(values)
