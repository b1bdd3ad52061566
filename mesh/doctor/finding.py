"""What a check comes to: well, or what is wrong and what to do."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime

_PATIENCE = 10.0  # seconds
_CLOCKS_MAY_DIFFER = 60.0  # seconds, as tokens allow


class Unwell(Exception):
    """A check failed; `todo` is what a person can do about it."""

    def __init__(self, said: str, *, todo: str) -> None:
        super().__init__(said)
        self.todo = todo


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `todo` is empty where all is well."""

    name: str
    ok: bool
    said: str
    todo: str = ""


async def found(name: str, check: Awaitable[str]) -> Finding:
    """Await a check, which gives what to say of what is well or raises Unwell."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return Finding(name, True, await check)
    except Unwell as unwell:
        return Finding(name, False, str(unwell), unwell.todo)
    except TimeoutError:
        return Finding(
            name, False, f"no answer within {_PATIENCE:.0f} s", "is a firewall in between, or is it overloaded?"
        )


def refuse_other_time(theirs: datetime) -> None:
    """Raise Unwell if another machine's clock is further from this one's than tokens and sessions bear."""
    apart = abs((datetime.now(UTC) - theirs).total_seconds())
    if apart > _CLOCKS_MAY_DIFFER:
        raise Unwell(
            f"its clock is {apart:.0f} s from this machine's", todo="keep both by NTP: chrony or systemd-timesyncd"
        )
