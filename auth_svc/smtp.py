"""The way out for mail: one SMTP server, given by its URL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTPDataError, SMTPException, SMTPNotSupported, SMTPRecipientsRefused

_TIMEOUT = 10.0  # seconds for each step of the conversation
_PORTS = {"smtp": 587, "smtps": 465}
_STARTTLS = {"required": True, "off": False, "offered": None}
_PERMANENT = 500  # replies from here on mean: do not try again (RFC 5321, section 4.2.1)


class MailRefused(Exception):
    """The server will never take this mail."""


class MailPutOff(Exception):
    """The server does not take this mail for now; of others it says nothing."""


class MailDelayed(Exception):
    """The server is away or asks to come back later."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """`smtp://[user:password@]host[:port][?starttls=required|offered|off]`; `smtps://` is TLS from the first byte.

    Without the parameter, STARTTLS is used where the server offers it, and required if there is a password to protect.
    """

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    tls: bool
    starttls: bool | None

    @classmethod
    def at(cls, url: str) -> Self:
        """Raises ValueError, which says what is wrong, for a URL that is not one of these."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("must be smtp://[user:password@]host[:port] or smtps://...")
        starttls = parse_qs(parts.query).get("starttls", ["required" if parts.password else "offered"])[-1]
        if starttls not in _STARTTLS:
            raise ValueError("starttls must be required, offered or off")
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=parts.scheme == "smtps",
            starttls=False if parts.scheme == "smtps" else _STARTTLS[starttls],
        )

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["SmtpConnection"]:
        """Raises MailDelayed if nobody answers there, or turns us away."""
        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user,
            password=self.password,
            use_tls=self.tls,
            start_tls=self.starttls,
            timeout=_TIMEOUT,
        )
        try:
            await client.connect()
        except (SMTPException, OSError) as error:
            client.close()
            raise MailDelayed(type(error).__name__) from error
        try:
            yield SmtpConnection(client)
        finally:
            client.close()


class SmtpConnection:
    """A conversation with the server."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self._client = client

    async def send(self, message: EmailMessage) -> None:
        """Hand a mail over; raises MailRefused, MailPutOff or MailDelayed."""
        try:
            await self._client.send_message(message)
        except SMTPRecipientsRefused as error:
            refused = all(recipient.code >= _PERMANENT for recipient in error.recipients)
            raise (MailRefused if refused else MailPutOff)(type(error).__name__) from error
        except SMTPDataError as error:
            raise (MailRefused if error.code >= _PERMANENT else MailPutOff)(type(error).__name__) from error
        except SMTPNotSupported as error:  # an address beyond ASCII, and a server without RFC 6531
            raise MailRefused(type(error).__name__) from error
        except (SMTPException, OSError) as error:
            raise MailDelayed(type(error).__name__) from error
