"""What time it is, as a thing that is passed in where time decides."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Answers the time, aware and in UTC."""


def now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)
