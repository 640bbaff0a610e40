"""Who stages next on this node: organizations in turn, so that one with many builds does not keep the others out."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Turns:
    """`parallel` turns at once, and one more that only an organization gets which has none.

    What runs is never stopped for another's sake. Without the one more, a single organization with `parallel` builds
    that sleep would keep everybody from pushing until their time is over.
    """

    def __init__(self, parallel: int) -> None:
        self._parallel = parallel
        self._running: Counter[str] = Counter()
        self._waiting: list[tuple[str, trio.Event]] = []

    @asynccontextmanager
    async def turn(self, organization_guid: str) -> AsyncIterator[None]:
        """Wait for a turn and have it until the block ends."""
        entry = (organization_guid, trio.Event())
        self._waiting.append(entry)
        self._give()
        try:
            await entry[1].wait()
            yield
        finally:
            if entry[1].is_set():
                self._running[organization_guid] -= 1
                self._give()
            else:
                self._waiting.remove(entry)

    def _give(self) -> None:
        """To the organization with the fewest that run, of its own and among equals to who waits longest."""
        while self._waiting:
            entry = min(self._waiting, key=lambda one: self._running[one[0]])
            organization_guid, given = entry
            limit = self._parallel if self._running[organization_guid] else self._parallel + 1
            if self._running.total() >= limit:
                return
            self._waiting.remove(entry)
            self._running[organization_guid] += 1
            given.set()
