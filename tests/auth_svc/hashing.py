"""A password hasher that counts: the real argon2id, with cheap parameters."""

from argon2 import PasswordHasher


class CountingHasher:
    """How many passwords were hashed, and how many were checked."""

    def __init__(self, *, memory_kib: int = 64) -> None:
        self._argon2 = PasswordHasher(time_cost=1, memory_cost=memory_kib, parallelism=1)
        self.hashed = 0
        self.verified = 0

    def hash(self, password: str) -> str:
        self.hashed += 1
        return self._argon2.hash(password)

    def verify(self, hash: str, password: str) -> bool:
        self.verified += 1
        return self._argon2.verify(hash, password)

    def check_needs_rehash(self, hash: str) -> bool:
        return self._argon2.check_needs_rehash(hash)
