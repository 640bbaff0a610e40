"""argon2id hashing off the trio thread, at most a few at once: each hash takes 64 MiB and a core for 100 ms.

So it is what strangers could most easily keep from others, and everybody has turns: one source hashes one password at
a time, and one name is hashed once at a time for those who were not signed in before. They leave a core to those who
were. A pair that was found right is not hashed again for a minute.
"""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, TypeVar

import argon2
import msgspec
import trio

from paasd.config import AuthConfig
from paasd.sources import source_of
from paasd.turns import Turns

Result = TypeVar("Result")
REMEMBER_S: Final = 60.0
REMEMBERED: Final = 1000


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """From where somebody asks, by which name ("" counts none), and whether somebody of it was signed in there."""

    address: str
    name: str = ""
    known: bool = False


class Passwords:
    """Hashes and checks passwords. `verify` costs the same whether or not the user exists.

    Without an asker it is the platform itself. Raises Crowded when too many of a source or name wait already.
    """

    def __init__(self, config: AuthConfig) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=config.hash_time_cost, memory_cost=config.hash_memory_kib, parallelism=1
        )
        self._cores = trio.CapacityLimiter(config.hash_parallel)
        self._strangers = trio.Semaphore(max(1, config.hash_parallel - 1))
        self._sources = Turns(1, "passwords from where you are")
        self._names = Turns(1, "passwords for this name")
        self._decoy: str | None = None
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._key = secrets.token_bytes(32)

    async def hash(self, password: str, asker: Asker | None = None) -> str:
        """The encoded argon2id hash, salt and parameters included."""
        async with self._turn(asker):
            return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str, asker: Asker | None = None) -> bool:
        """Whether `password` is the one behind `stored`; None (no such user, no password) is never right."""
        pair = hmac.digest(self._key, f"{stored}\0{password}".encode(errors="surrogatepass"), "sha256")
        if self._is_right(pair):
            return True
        async with self._turn(asker):
            if self._is_right(pair):  # found while this one waited
                return True
            if stored is None:
                if self._decoy is None:
                    self._decoy = await self._run(lambda: self._hasher.hash("a password that nobody has"))
                await self._run(lambda: self._check(self._decoy or "", password))
                return False
            right = await self._run(lambda: self._check(stored, password))
        if right:
            self._right[pair] = trio.current_time() + REMEMBER_S
            while len(self._right) > REMEMBERED:
                self._right.popitem(last=False)
        return right

    def _is_right(self, pair: bytes) -> bool:
        """Whether it was found right lately. The hash is part of the pair, so a new password makes it another one."""
        return self._right.get(pair, 0.0) > trio.current_time()

    @asynccontextmanager
    async def _turn(self, asker: Asker | None) -> AsyncIterator[None]:
        async with AsyncExitStack() as turns:
            if asker is not None:
                await turns.enter_async_context(self._sources.turn(source_of(asker.address)))
            if asker is not None and not asker.known:
                if asker.name:
                    await turns.enter_async_context(self._names.turn(asker.name))
                await turns.enter_async_context(self._strangers)
            yield

    def _check(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await trio.to_thread.run_sync(work, limiter=self._cores)
