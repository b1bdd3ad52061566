"""A mail catcher: takes every mail over SMTP and keeps it as a file, so that development never mails anybody."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

from svckit.local.errors import NoEngine
from svckit.local.home import Home
from svckit.local.ports import LOOPBACK


@asynccontextmanager
async def mail_catcher(home: Home) -> AsyncIterator[str]:
    """Catch mail into `mail/` of the home; gives the `smtp://` URL to send it to."""
    try:
        from aiosmtpd.smtp import SMTP  # of the extra `local`, which production does without
    except ModuleNotFoundError:
        raise NoEngine("no mail catcher is installed (aiosmtpd): set SMTP_URL") from None
    connections: WeakSet[SMTP] = WeakSet()
    folder = _Folder(home.folder("mail"))

    def connection() -> SMTP:
        protocol = SMTP(folder, hostname=LOOPBACK, enable_SMTPUTF8=True, loop=asyncio.get_running_loop())
        connections.add(protocol)
        return protocol

    port = home.port("smtp")
    server = await asyncio.get_running_loop().create_server(connection, LOOPBACK, port)
    try:
        yield f"smtp://{LOOPBACK}:{port}"
    finally:
        server.close()
        for protocol in connections:
            if protocol.transport:
                protocol.transport.close()


class _Folder:
    """Where mail lands: one `.eml` file each, whose names sort by arrival."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = itertools.count()

    async def handle_DATA(self, _server: "SMTP", _session: "Session", envelope: "Envelope") -> str:  # noqa: N802 - aiosmtpd's name
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{next(self._numbers):04d}.eml"
        content = envelope.content
        assert isinstance(content, bytes)
        unfinished = self._path / f".{name}"
        unfinished.write_bytes(content)
        unfinished.rename(self._path / name)
        return "250 kept"
