"""Passwords: which are refused, and their hashing, away from the event loop and bounded."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Protocol, TypeVar

from argon2.exceptions import VerifyMismatchError

from auth_svc.addresses import Address
from svckit.errors import InvalidArgument, ResourceExhausted

_MOST_WAITING = 100

ResultT = TypeVar("ResultT")


class Hasher(Protocol):
    """What `argon2.PasswordHasher` does; called from several threads."""

    def hash(self, password: str, /) -> str: ...

    def verify(self, hash: str, password: str, /) -> bool:
        """True, or `VerifyMismatchError`."""
        ...

    def check_needs_rehash(self, hash: str, /) -> bool:
        """Whether it was made with other parameters than today's."""
        ...


def refuse_weak(password: str, address: Address, *, field: str = "password") -> None:
    """InvalidArgument on `field` for one that is no secret. Its length is checked by the contract."""
    if password.strip().casefold() in {address.key.casefold(), address.typed.casefold()}:
        raise InvalidArgument.of(field, "must not be the e-mail address", reason="PASSWORD_IS_EMAIL")


class Passwords:
    """Hashes and checks passwords, just as they were typed (ASVS 6.2.8). Made by `opened`."""

    def __init__(self, hasher: Hasher, executor: ThreadPoolExecutor, *, dummy: str) -> None:
        self._hasher = hasher
        self._executor = executor
        self._dummy = dummy
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Raises ResourceExhausted, like the others, when too many wait for their turn."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password: str, known: str | None) -> bool:
        """Whether the hash `known` is the password's; None, no such account, is just as much work."""
        matches = await self._run(lambda: self._matches(known or self._dummy, password))
        return matches and known is not None

    async def rehash(self, password: str, known: str) -> str | None:
        """A new hash if `known` was made with other parameters than today's."""
        return await self.hash(password) if self._hasher.check_needs_rehash(known) else None

    def _matches(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except VerifyMismatchError:
            return False

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        """Run in the pool; a caller who gives up before its turn costs nothing."""
        if self._waiting >= _MOST_WAITING:
            raise ResourceExhausted("too many are signing in right now", retry_after=timedelta(seconds=2))
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1


@asynccontextmanager
async def opened(hasher: Hasher, *, workers: int) -> AsyncIterator[Passwords]:
    """A pool of `workers` threads: argon2 lets go of the interpreter while it works, so each keeps a core busy."""
    executor = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
    try:
        dummy = await asyncio.get_running_loop().run_in_executor(executor, hasher.hash, secrets.token_urlsafe())
        yield Passwords(hasher, executor, dummy=dummy)
    finally:
        executor.shutdown(cancel_futures=True)
