"""Who stages next on this node: organizations in turn, so that one with many builds does not keep the others out."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

HALF_FORGOTTEN_S: Final = 3600.0
LITTLE_S: Final = 300.0
"""Who built less than this lately may have the turn that is kept."""


PROMPT_S: Final = 10.0
"""A turn that comes this soon needs no new deadline."""
_LOOKS: Final = 3
"""So often, within the time of a piece of work, the deadlines of what waits are put off."""
_PROLONGED_LIMIT: Final = 500
"""Of so many at most at a time."""
K = TypeVar("K")


async def put_off(
    timeout_s: float, waiting: Callable[[], list[K]], prolong: Callable[[list[K]], Awaitable[None]]
) -> None:
    """The time of what waits runs from its turn: its deadline is put off again and again, until this is cancelled."""
    while True:
        await trio.sleep(timeout_s / _LOOKS)
        if found := waiting()[:_PROLONGED_LIMIT]:
            await prolong(found)


class Used:
    """For how many seconds each organization had turns lately; half of it is forgotten in an hour. Pure."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, float]] = {}

    def add(self, who: str, seconds: float, now: float) -> None:
        """At `now`, `who` had a turn for so long. Who used next to nothing is forgotten."""
        used = {one: (self.of(one, now), now) for one in self._used}
        used[who] = (self.of(who, now) + seconds, now)
        self._used = {one: (used_s, at) for one, (used_s, at) in used.items() if used_s >= 1}

    def of(self, who: str, now: float) -> float:
        """Seconds, those of long ago for less."""
        used_s, at = self._used.get(who, (0.0, now))
        return used_s * float(0.5 ** ((now - at) / HALF_FORGOTTEN_S))


class Turns:
    """`parallel` turns at once, and one more that only an organization gets which has none and built little lately.

    What runs is never stopped for another's sake. Without the one more, a single organization with `parallel` builds
    that sleep would keep everybody from pushing until their time is over; if whoever has none had it, two that go
    together would, again and again.
    """

    def __init__(self, parallel: int, clock: Callable[[], float] = trio.current_time) -> None:
        self._parallel = parallel
        self._clock = clock
        self._used = Used()
        self._running: Counter[str] = Counter()
        self._waiting: list[tuple[str, trio.Event]] = []

    @asynccontextmanager
    async def turn(self, organization_guid: str) -> AsyncIterator[None]:
        """Wait for a turn and have it until the block ends."""
        entry = (organization_guid, trio.Event())
        self._waiting.append(entry)
        self._give()
        began = self._clock()
        try:
            await entry[1].wait()
            began = self._clock()
            yield
        finally:
            if entry[1].is_set():
                self._used.add(organization_guid, self._clock() - began, self._clock())
                self._running[organization_guid] -= 1
                self._give()
            else:
                self._waiting.remove(entry)

    def _give(self) -> None:
        """To the organization with the fewest that run, then to who built least lately, then to who waits longest."""
        while self._waiting:
            now = self._clock()
            entry = min(self._waiting, key=lambda one: (self._running[one[0]], self._used.of(one[0], now)))
            organization_guid, given = entry
            kept = not self._running[organization_guid] and self._used.of(organization_guid, now) < LITTLE_S
            limit = self._parallel + 1 if kept else self._parallel
            if self._running.total() >= limit:
                return
            self._waiting.remove(entry)
            self._running[organization_guid] += 1
            given.set()
