"""Where mail arrives in these tests: a real SMTP server that hands each mail over to whoever waits for it."""

import asyncio
import email
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.waiting import PATIENCE

LOOPBACK = "127.0.0.1"


class Inbox:
    """Mail by recipient. It refuses the recipients in `refused` for good, and those in `busy` for now."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.busy: set[str] = set()
        self.raw: list[bytes] = []
        self._mails: dict[str, list[EmailMessage]] = {}
        self._arrived = asyncio.Condition()

    async def next_to(self, address: str) -> EmailMessage:
        """Take the oldest mail to that address, waiting for it if need be."""
        async with asyncio.timeout(PATIENCE), self._arrived:
            await self._arrived.wait_for(lambda: self._mails.get(address))
            return self._mails[address].pop(0)

    def waiting(self, address: str) -> list[str]:
        """Subjects of the mails to that address that nobody took."""
        return [mail["Subject"] for mail in self._mails.get(address, [])]

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such mailbox"
        if address in self.busy:
            return "450 come back later"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.raw.append(envelope.content)
        mail = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        async with self._arrived:
            for recipient in envelope.rcpt_tos:
                self._mails.setdefault(recipient, []).append(mail)
            self._arrived.notify_all()
        return "250 kept"


@asynccontextmanager
async def listening(inbox: Inbox, port: int = 0, *, utf8: bool = True, **options: Any) -> AsyncIterator[int]:
    """An SMTP server that fills `inbox`; gives its port. `utf8`: it takes addresses beyond ASCII (RFC 6531)."""
    connections: list[SMTP] = []

    def connection() -> SMTP:
        loop = asyncio.get_running_loop()
        protocol = SMTP(inbox, hostname=LOOPBACK, enable_SMTPUTF8=utf8, loop=loop, **options)
        connections.append(protocol)
        return protocol

    server = await asyncio.get_running_loop().create_server(connection, LOOPBACK, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for protocol in connections:
            if protocol.transport:
                protocol.transport.close()


def text_of(mail: EmailMessage) -> str:
    """The plain text of a mail."""
    body = mail.get_body(("plain",))
    assert isinstance(body, EmailMessage)
    return str(body.get_content()).replace("\r\n", "\n")


def token_in(mail: EmailMessage) -> str:
    """The token of the mail's link."""
    found = re.search(r"\?token=([\w-]+)$", text_of(mail), re.MULTILINE)
    assert found
    return found[1]
