"""Waiting for what another process does in its own time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

AnswerT = TypeVar("AnswerT")

PATIENCE = 120.0  # seconds; nothing passes or fails by the time it takes


async def until(question: Callable[[], Awaitable[AnswerT | None]]) -> AnswerT:
    """Ask until the answer is not empty."""
    async with asyncio.timeout(PATIENCE):
        while not (answer := await question()):
            await asyncio.sleep(0.02)
    return answer
