"""Where things are: ports that somebody else has, before anything starts; and where to find what, once it runs."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mesh.processes import HOST, Process
from mesh.state import STATE
from svckit.local import Engines, LocalError, ports

_TRY = """
Try:
  curl -s {edge}/api/auth/signup -H 'content-type: application/json' \\
    -d '{{"email": "ada@example.com", "password": "a long walk home", "name": "Ada"}}'"""


def refuse_taken(processes: Sequence[Process]) -> None:
    """Raise LocalError if somebody has a port of these: which, who, and what to type instead."""
    spoken_for = {port for process in processes for port in process.ports}
    taken, moves = [], []
    for process in processes:
        if used := [port for port in process.ports if not ports.is_free(port)]:
            other = _free_beside(process, spoken_for)
            spoken_for |= other
            taken += [f"port {port} is used by {ports.holder(port)}" for port in used]
            moves.append(f"{process.moved_by}{min(other)}")
    if taken:
        raise LocalError("\n".join(taken) + f": {' '.join(moves)} make run")


def _free_beside(process: Process, spoken_for: set[int]) -> set[int]:
    """Find the next ports that are free, as far apart as those of the process."""
    first = process.ports[0]
    for step in range(1, 65_536 - max(process.ports)):
        candidates = {port + step for port in process.ports}
        if not candidates & spoken_for and all(ports.is_free(port) for port in candidates):
            return candidates
    raise LocalError(f"no port after {first} is free")


def described(processes: Sequence[Process], *, engines: Engines, home: Path, smtp_url: str) -> str:
    """Say where everything is, and one thing to try."""
    caught = smtp_url.startswith(f"smtp://{HOST}:")
    rows = [
        *((process.name, process.about) for process in processes),
        ("PostgreSQL", _without_password(engines.database_url)),
        ("Valkey", _without_password(engines.redis_url)),
        ("NATS", _without_password(engines.nats_url)),
        ("passwords", f"{home / STATE}, for its owner only"),
        ("mail", f"{home / 'mail'} keeps every mail" if caught else _without_password(smtp_url)),
        ("data and logs", str(home)),
    ]
    edge = next((process.ready.removesuffix("/readyz") for process in processes if process.name == "edge"), None)
    table = "".join(f"  {name:<14} {place}\n" for name, place in rows)
    return f"\n{table}{_TRY.format(edge=edge) if edge else ''}\n "


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
