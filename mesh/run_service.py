"""`chatmesh auth`, `chatmesh edge` and the others: one process of the mesh by itself, as a cluster runs it."""

import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from mesh.processes import SERVICES

# By the name of the command.
MODULES = {"edge": "edge"} | {name: f"{name}_svc" for name in SERVICES}


def become(name: str, *, given: Mapping[str, str]) -> NoReturn:
    """Replace this process by that one, which gets the signals; it reads what the environment and `.env` say."""
    os.execve(sys.executable, [sys.executable, "-m", MODULES[name]], dict(given))  # noqa: S606 - no shell is wanted
