"""Who is a member, as the rows say: sorted and immutable, so that it costs a lookup and can be shared."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from random import Random


class Roster:
    """The members by guid with their zones, the node itself among them."""

    def __init__(self, zones: Mapping[str, str]) -> None:
        self.zones = dict(zones)
        self.guids = tuple(sorted(self.zones))
        grouped: dict[str, list[str]] = {}
        for guid in self.guids:
            grouped.setdefault(self.zones[guid], []).append(guid)
        self.by_zone = {zone: tuple(guids) for zone, guids in grouped.items()}

    def __contains__(self, guid: str) -> bool:
        return guid in self.zones

    def __len__(self) -> int:
        return len(self.guids)

    def after(self, guid: str) -> Iterator[str]:
        """The others in the order of the ring, from the next one on."""
        start = bisect_right(self.guids, guid)
        for index in range(start, start + len(self.guids)):
            yield self.guids[index % len(self.guids)]

    def elsewhere(self, zone: str, random: Random) -> str | None:
        """Some member of another zone, each zone as likely as the next; None if there is no other."""
        others = [other for other in self.by_zone if other != zone]
        return random.choice(self.by_zone[random.choice(others)]) if others else None


class Rounds:
    """An order in which each member comes once a round, another one each round, without a list to shuffle."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._step = 1
        self._start = 0
        self._turn = 0
        self._size = 0

    def take(self, roster: Roster) -> Iterator[str]:
        """The members from here on to the end of a whole round; take as many as needed."""
        size = len(roster)
        for _ in range(size):
            if self._turn >= size or self._size != size:
                self._begin(size)
            index = (self._start + self._turn * self._step) % size
            self._turn += 1
            yield roster.guids[index]

    def _begin(self, size: int) -> None:
        self._size, self._turn = size, 0
        self._start = self._random.randrange(size)
        self._step = self._random.randrange(1, size + 1)
        while math.gcd(self._step, size) != 1:
            self._step = self._random.randrange(1, size + 1)
