"""Passwords are hashed in turn by source and by name: nobody keeps the others from signing in.

A gate holds what is hashed; the order in which it ends is what counts, not how long it takes.
"""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from paasd.auth.passwords import REMEMBER_S, Asker, Passwords
from paasd.config import AuthConfig
from paasd.errors import Crowded
from paasd.turns import WAITING

EVE = Asker(address="192.0.2.1", name="eve", known=True)
VIC = Asker(address="192.0.2.2", name="vic", known=True)


class Hashing:
    """Passwords of a node, and who was served in which order."""

    def __init__(self, nursery: trio.Nursery, parallel: int = 1) -> None:
        self._nursery = nursery
        self.passwords = Passwords(AuthConfig(hash_memory_kib=64, hash_time_cost=1, hash_parallel=parallel))
        self.served: list[str] = []

    async def begin(self, asker: Asker, times: int = 1) -> None:
        """Wrong passwords; returns when all of them stand in their queues."""

        async def ask() -> None:
            await self.passwords.verify(None, "a guess", asker)
            self.served.append(asker.name)

        for _ in range(times):
            self._nursery.start_soon(ask)
        await wait_all_tasks_blocked()

    @asynccontextmanager
    async def held(self, cores: int = 1) -> AsyncIterator[None]:
        """So many cores hash something else until the block ends."""
        gate = threading.Event()
        for _ in range(cores):
            self._nursery.start_soon(self.passwords._run, lambda: gate.wait(30))
        await wait_all_tasks_blocked()
        try:
            yield
        finally:
            gate.set()


async def test_who_asks_from_many_connections_waits_for_themselves() -> None:
    async with trio.open_nursery() as nursery:
        hashing = Hashing(nursery)
        async with hashing.held():
            await hashing.begin(EVE, 20)
            await hashing.begin(VIC)
    assert hashing.served.index("vic") <= 1
    assert len(hashing.served) == 21


async def test_a_network_of_ipv6_is_one_source() -> None:
    async with trio.open_nursery() as nursery:
        hashing = Hashing(nursery)
        async with hashing.held():
            for number in range(20):
                await hashing.begin(Asker(address=f"2001:db8::{number}", name="eve", known=True))
            await hashing.begin(VIC)
    assert hashing.served.index("vic") <= 1


async def test_strangers_from_everywhere_leave_a_core_to_who_was_there_before() -> None:
    async with trio.open_nursery() as nursery:
        hashing, gate = Hashing(nursery, parallel=2), threading.Event()

        async def guess(number: int) -> None:
            asker = Asker(address=f"198.51.100.{number}", name=f"guess-{number}")
            async with hashing.passwords._turn(asker):
                await hashing.passwords._run(lambda: gate.wait(30))

        for number in range(20):
            nursery.start_soon(guess, number)
        await wait_all_tasks_blocked()
        try:
            with trio.fail_after(10):
                assert not await hashing.passwords.verify(None, "mistyped", VIC)
        finally:
            gate.set()


async def test_guesses_at_one_name_from_everywhere_wait_for_each_other() -> None:
    async with trio.open_nursery() as nursery:
        hashing = Hashing(nursery)
        async with hashing.held():
            for number in range(20):
                await hashing.begin(Asker(address=f"198.51.100.{number}", name="vic"))
            await hashing.begin(Asker(address="203.0.113.7", name="new"))
            await hashing.begin(VIC)
    assert hashing.served.index("new") <= 2


async def test_too_many_of_a_source_or_a_name_are_turned_away() -> None:
    async with trio.open_nursery() as nursery:
        hashing = Hashing(nursery)
        async with hashing.held():
            await hashing.begin(EVE, WAITING + 1)
            with pytest.raises(Crowded, match="64 passwords from where you are wait for their turn already, 1 have it"):
                await hashing.passwords.verify(None, "one more", EVE)
            for number in range(WAITING + 1):
                await hashing.begin(Asker(address=f"198.51.100.{number}", name="vic"))
            with pytest.raises(Crowded, match="for this name"):
                await hashing.passwords.verify(None, "one more", Asker(address="203.0.113.7", name="vic"))
            await hashing.begin(VIC)
    assert len(hashing.served) == 2 * WAITING + 3


async def test_a_pair_that_was_right_is_not_hashed_again_for_a_while(mock_clock: MockClock) -> None:
    right: list[str] = []
    async with trio.open_nursery() as nursery:
        hashing = Hashing(nursery)
        stored = await hashing.passwords.hash("correct horse")
        assert await hashing.passwords.verify(stored, "correct horse", EVE)

        async def ask(name: str, password: str) -> None:
            if await hashing.passwords.verify(stored, password, EVE):
                right.append(name)

        async with hashing.held():
            nursery.start_soon(ask, "wrong", "correct house")
            nursery.start_soon(ask, "again", "correct horse")
            await wait_all_tasks_blocked()
            assert right == ["again"]
            mock_clock.jump(REMEMBER_S + 1)
            nursery.start_soon(ask, "late", "correct horse")
            await wait_all_tasks_blocked()
            assert right == ["again"]
    assert right == ["again", "late"]


async def test_who_waits_for_the_same_pair_is_answered_with_the_first() -> None:
    async with trio.open_nursery() as nursery:
        passwords = Hashing(nursery).passwords
        stored = await passwords.hash("correct horse")
        hashed = 0
        check = passwords._check

        def counted(one: str, password: str) -> bool:
            nonlocal hashed
            hashed += 1
            return check(one, password)

        passwords._check = counted  # type: ignore[method-assign]
        for _ in range(20):
            nursery.start_soon(passwords.verify, stored, "correct horse", EVE)
    assert hashed == 1
