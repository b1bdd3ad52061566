"""Service tokens for internal programs: they show services for a few minutes that a program belongs to the mesh."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from mesh import state
from svckit.identity import ServiceCredential
from svckit.local import LocalError

LONGEST_MINUTES = 60

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_OWN_NAMES = frozenset({"edge", "auth", "chat", "billing", "analytics"})


def make(name: str, *, minutes: int, given: Mapping[str, str], folder: Path) -> str:
    """Make a token by SERVICE_SECRET: the one that was given, else that of the mesh that runs in the folder.

    The services write the name in their logs. Raises LocalError for a name that is none or that a process of the mesh
    has, for a lifetime out of bounds, and when there is no secret.
    """
    if not _NAME.fullmatch(name):
        raise LocalError(f"{name!r} is no name: lower-case letters, digits and hyphens, at most 32, a letter first")
    if name in _OWN_NAMES:
        raise LocalError(f"{name!r} is a process of the mesh: give your program a name of its own")
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise LocalError(f"a token may live 1 to {LONGEST_MINUTES} minutes, not {minutes}")
    return ServiceCredential(name, _secret(given, folder)).issue(timedelta(minutes=minutes))


def _secret(given: Mapping[str, str], folder: Path) -> str:
    if secret := given.get("SERVICE_SECRET"):
        return secret
    return state.of_running(folder, instead="SERVICE_SECRET")["SERVICE_SECRET"]
