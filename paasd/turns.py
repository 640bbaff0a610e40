"""Turns: of one person, organization or source no more than a few things at once; further ones wait, oldest first.

Whoever sends a thousand calls at a time then waits for themselves, and the others are served between.
"""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from paasd.errors import Crowded

Result = TypeVar("Result")
THREADS: Final = 2
"""Work beside the loop of a node: with more, the loop would wait for them instead."""
WAITING: Final = 64
"""Of one key; each holds a connection."""


class Turns:
    """`at_once` turns of each key, 0 for as many as come. `what` names in the plural what has turns."""

    def __init__(self, at_once: int, what: str, waiting: float = WAITING) -> None:
        self._at_once = at_once
        self._what = what
        self._waiting = waiting
        self._given: dict[str, trio.Semaphore] = {}

    def taken(self, key: str) -> int:
        """How many have a turn of this key or wait for one."""
        given = self._given.get(key)
        return 0 if given is None else self._at_once - given.value + given.statistics().tasks_waiting

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for a turn and have it until the block ends. Raises Crowded when too many wait already."""
        if not self._at_once:
            yield
            return
        given = self._given.setdefault(key, trio.Semaphore(self._at_once))
        if given.statistics().tasks_waiting >= self._waiting:
            raise Crowded(
                f"{self._waiting:g} {self._what} wait for their turn already, {self._at_once} have it at once;"
                " send fewer at a time"
            )
        try:
            async with given:
                yield
        finally:
            if given.value == self._at_once:
                self._given.pop(key, None)


class Apart:
    """Work that takes long, in threads beside the loop: one thing at a time of each key.

    All that come wait: they are calls and streams that were counted when they were let in.
    """

    def __init__(self) -> None:
        self._turns = Turns(1, "long looks", waiting=math.inf)
        self._threads = trio.CapacityLimiter(THREADS)
        self.turn = self._turns.turn

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returns; it should take well under a second, since it cannot be cancelled."""
        return await trio.to_thread.run_sync(work, limiter=self._threads)
