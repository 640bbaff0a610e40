"""The watch feed: wakes those who watch tables after each entry that touched them.

Level-triggered: who is woken re-reads. What was touched is only a hint that bounds the work, and `resync` says that the
hint is not complete, so everything has to be read: at the start, after a migration, and when too much has piled up.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import trio

from paasd.state.engine.changes import Key, Touched


class Changes:
    """What one watcher has not looked at yet."""

    def __init__(self, tables: frozenset[str], limit: int, index: int) -> None:
        self.tables = tables
        self.index = index
        self.resync = True
        self._limit = limit
        self._touched: set[tuple[str, Key]] = set()
        self._awake = trio.Event()
        self._awake.set()

    async def wait(self) -> None:
        """Return when there is something to take; the first time at once."""
        await self._awake.wait()

    def take(self) -> set[tuple[str, Key]]:
        """(table, key) of what was touched since the last take. Look at `resync` before: it is cleared by this."""
        touched, self._touched = self._touched, set()
        self.resync = False
        self._awake = trio.Event()
        return touched

    def wake(self) -> None:
        """Make `wait` return although nothing changed, for those who also look at a clock."""
        self._awake.set()

    def add(self, index: int, touched: Touched | None) -> None:
        """Note an entry; None stands for everything."""
        self.index = index
        if touched is None:
            self._lose_count()
            return
        ours = {row for row in touched if row[0] in self.tables} if self.tables else touched
        if not ours:
            return
        self._touched |= ours
        if len(self._touched) > self._limit:
            self._lose_count()
        self._awake.set()

    def start_from(self, index: int, touched: Iterable[Touched | None]) -> None:
        """Begin with these entries instead of with everything: the watcher has seen what came before them."""
        self.resync = False
        self._awake = trio.Event()
        for rows in touched:
            self.add(index, rows)

    def _lose_count(self) -> None:
        self.resync = True
        self._touched.clear()
        self._awake.set()


class Feed:
    """Everybody who watches one database."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._watchers: set[Changes] = set()

    def publish(self, index: int, touched: Touched | None) -> None:
        for changes in self._watchers:
            changes.add(index, touched)

    @asynccontextmanager
    async def subscribe(self, tables: Iterable[str], index: int) -> AsyncIterator[Changes]:
        changes = Changes(frozenset(tables), self._limit, index)
        self._watchers.add(changes)
        try:
            yield changes
        finally:
            self._watchers.discard(changes)
