"""argon2id hashing off the trio thread, at most a few at once: each hash takes 64 MiB and a core for 100 ms."""

from collections.abc import Callable
from typing import TypeVar

import argon2
import trio

from paasd.config import AuthConfig

Result = TypeVar("Result")


class Passwords:
    """Hashes and checks passwords. `verify` costs the same whether or not the user exists."""

    def __init__(self, config: AuthConfig) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=config.hash_time_cost, memory_cost=config.hash_memory_kib, parallelism=1
        )
        self._limiter = trio.CapacityLimiter(config.hash_parallel)
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """The encoded argon2id hash, salt and parameters included."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one behind `stored`; None (no such user, no password) is never right."""
        if stored is None:
            if self._decoy is None:
                self._decoy = await self.hash("a password that nobody has")
            await self._run(lambda: self._check(self._decoy or "", password))
            return False
        return await self._run(lambda: self._check(stored, password))

    def _check(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await trio.to_thread.run_sync(work, limiter=self._limiter)
