"""Passwords: which are refused, and their hashing, away from the event loop and bounded.

A password is hashed in Unicode's form NFKC, as NIST SP 800-63B asks: the same characters, typed on another keyboard,
may come as other code points. Nothing else is changed, and nothing is ever cut.
"""

import asyncio
import gzip
import os
import re
import secrets
import sys
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Protocol, TypeVar

from argon2.exceptions import VerifyMismatchError

from auth_svc.addresses import Address
from svckit.errors import InvalidArgument, ResourceExhausted

_MOST_WAITING = 100
_NICENESS = 10
_SHORTEST = 8
_PRODUCT = "chatmesh"
_AROUND = re.compile(r"^[\W\d_]+|[\W\d_]+$")

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


def prepared(password: str) -> str:
    """A password as it is hashed."""
    return unicodedata.normalize("NFKC", password)


def refuse_weak(password: str, address: Address, *, field: str = "password") -> None:
    """InvalidArgument on `field` for one that is no secret. How long it may be is checked by the contract."""
    folded = prepared(password).casefold()
    if len(folded) < _SHORTEST:
        raise InvalidArgument.of(field, f"must have {_SHORTEST} characters", reason="PASSWORD_TOO_SHORT")
    if not folded.strip() or folded.strip() in _common():
        raise InvalidArgument.of(field, "is one of the most common passwords", reason="PASSWORD_COMMON")
    if folded.strip() in {address.key.casefold(), address.typed.casefold()} or _core(folded) in _obvious(address):
        message = "must not be made of the e-mail address or of our name"
        raise InvalidArgument.of(field, message, reason="PASSWORD_GUESSABLE")


def _obvious(address: Address) -> set[str]:
    """What somebody who knows the owner tries first, digits and signs around it aside."""
    return {_PRODUCT, _core(address.key.rpartition("@")[0].casefold())} - {""}


def _core(folded: str) -> str:
    """What is left without the digits and signs around it, which people add and attackers try first."""
    return _AROUND.sub("", folded)


@cache
def _common() -> frozenset[str]:
    """The list that is shipped, in lower case; see data/common_passwords.LICENSE for where it comes from."""
    packed = (files("auth_svc") / "data" / "common_passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode().splitlines())


class Passwords:
    """Hashes and checks passwords. Made by `opened`."""

    def __init__(self, hasher: Hasher, executor: ThreadPoolExecutor, *, dummy: str) -> None:
        self._hasher = hasher
        self._executor = executor
        self._dummy = dummy
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Raises ResourceExhausted, like the others, when too many wait for their turn."""
        return await self._run(lambda: self._hasher.hash(prepared(password)))

    async def verify(self, password: str, known: str | None) -> bool:
        """Whether the hash `known` is the password's; None, no such account, is just as much work."""
        matches = await self._run(lambda: self._matches(known or self._dummy, password))
        return matches and known is not None

    async def rehash(self, password: str, known: str) -> str | None:
        """A new hash if `known` was made with other parameters than today's."""
        return await self.hash(password) if self._hasher.check_needs_rehash(known) else None

    def _matches(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, prepared(password))
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


def _stand_back() -> None:
    """Let everything else go first: a thread that hashes would take a whole core from those who only look something up.

    On Linux each thread has a niceness of its own; elsewhere it is the process's, and stays.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


@asynccontextmanager
async def opened(hasher: Hasher, *, workers: int) -> AsyncIterator[Passwords]:
    """A pool of `workers` threads: argon2 lets go of the interpreter while it works, so each keeps a core busy."""
    _common()  # read now, not while the first person signs up
    executor = ThreadPoolExecutor(workers, thread_name_prefix="argon2", initializer=_stand_back)
    try:
        dummy = await asyncio.get_running_loop().run_in_executor(executor, hasher.hash, secrets.token_urlsafe())
        yield Passwords(hasher, executor, dummy=dummy)
    finally:
        executor.shutdown(cancel_futures=True)
