"""Loopback ports: free ones, and who has one that is not free."""

import secrets
import socket
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below those that Linux (32768) and macOS (49152) give to outgoing connections, which would take one meanwhile.
PICKED = range(20_000, 32_000)
_LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp (linux/tcp_states.h)


def free_port(*, besides: Collection[int] = ()) -> int:
    """Pick a port that nobody had a moment ago. Somebody can take it before it is bound: be ready to pick another."""
    while True:
        port = PICKED[secrets.randbelow(len(PICKED))]
        if port not in besides and is_free(port):
            return port


def is_free(port: int, *, host: str = LOOPBACK) -> bool:
    """Whether a server could bind `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is not "taken"
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def holder(port: int) -> str:
    """Who listens on `port`, as `pid 123 (nginx)`; `another program` where that cannot be known."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        if _open_files(process) & sockets:
            return f"pid {process.name} ({(process / 'comm').read_text().strip()})"
    return "another program"


def _open_files(process: Path) -> set[str]:
    """What a process has open; nothing of one that belongs to another user or has ended."""
    found: set[str] = set()
    with suppress(OSError):
        for entry in (process / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                found.add(str(entry.readlink()))
    return found


def _listening_inodes(port: int) -> set[str]:
    """Socket inodes that listen on `port`, from the columns that proc(5) describes."""
    found: set[str] = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found
