"""The engines and processes of one machine, as supervised children: for development, tests and small installations.

Owns a data folder (`Home`): one supervisor at a time, its secrets, ports, logs and mail. Starts PostgreSQL, Valkey and
NATS from wheels (`engines`), catches mail (`mail_catcher`), and keeps any other program (`Supervised`). Children end
when their supervisor ends, however it ends. Knows nothing of any product; needs the extra `local`.
"""

from svckit.local.children import Program
from svckit.local.console import Console
from svckit.local.engines import Engines, engines
from svckit.local.errors import AlreadyRunning, LocalError, NoEngine, ProgramFailed
from svckit.local.home import Home
from svckit.local.mail import mail_catcher
from svckit.local.supervised import Supervised

__all__ = [
    "AlreadyRunning",
    "Console",
    "Engines",
    "Home",
    "LocalError",
    "NoEngine",
    "Program",
    "ProgramFailed",
    "Supervised",
    "engines",
    "mail_catcher",
]
