"""Which nodes should vote: one, three or five of them, spread over zones, and no change without need. Pure.

More voters survive more losses and make every write wait for more machines; an even number waits for more without
surviving more. Two nodes cannot outvote the loss of either, so there one votes alone.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

SIZES: Final = (5, 3, 1)

Fitness = Literal["fit", "steady", "away", "leaving", "gone"]
"""fit: may be chosen. steady: keeps its vote, and is not given one now. away: declared dead, may come back. leaving: is
being drained. gone: removed, or no control node.
"""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A node as far as it counts here."""

    guid: str
    zone: str
    fitness: Fitness = "fit"


def choose_voters(nodes: Iterable[Candidate], current: frozenset[str]) -> frozenset[str]:
    """Those that should vote; the same as `current` unless something is gained. Empty only when nobody can."""
    known = sorted(nodes, key=lambda node: node.guid)
    able = [one for one in known if one.fitness == "fit" or (one.fitness == "steady" and one.guid in current)]
    staying = frozenset(one.guid for one in known if one.guid in current and one.fitness not in ("leaving", "gone"))
    chosen = _spread(able, current, _size(able))
    missed = any(one.fitness in ("away", "leaving") for one in known)
    if not missed or not staying:
        return chosen or staying
    alive = sum(1 for one in able if one.guid in staying)
    if len(chosen) >= len(staying) > 1:
        return chosen
    # Who is away may come back: fewer voters are a loss then, unless those left tolerate more among themselves. One
    # that voted alone and is away cannot hand anything over.
    return chosen if alive and _spare(len(chosen), len(chosen)) > _spare(alive, len(staying)) else staying


def zone_limit(size: int, zones: int) -> int:
    """How many of `size` voters a zone may hold: never the majority, if there are enough zones for that."""
    return (size - 1) // 2 if zones >= 3 and size > 1 else size


def _spare(alive: int, voters: int) -> int:
    """How many more may be lost."""
    return alive - (voters // 2 + 1)


def _size(able: Sequence[Candidate]) -> int:
    zones = Counter(one.zone for one in able)
    for size in SIZES:
        limit = zone_limit(size, len(zones))
        if sum(min(limit, count) for count in zones.values()) >= size:
            return size
    return 0


def _spread(able: Sequence[Candidate], current: frozenset[str], size: int) -> frozenset[str]:
    """Those that vote already first, as far as their zones may hold them; each next one where there are fewest."""
    limit = zone_limit(size, len({one.zone for one in able}))
    zones, clouds = Counter[str](), Counter[str]()
    left, found = list(able), list[str]()
    while len(found) < size:
        one = min(
            (one for one in left if zones[one.zone] < limit),
            key=lambda one: (one.guid not in current, zones[one.zone], clouds[_cloud(one)], one.guid),
        )
        left.remove(one)
        found.append(one.guid)
        zones[one.zone] += 1
        clouds[_cloud(one)] += 1
    return frozenset(found)


def _cloud(one: Candidate) -> str:
    return one.zone.partition("/")[0]
