"""Whoever took little of the processor lately comes before those who took much.

The kernel shares the processor out by weight over time, but does not mind who waits meanwhile: a program that wakes up
for a request stands in line with neighbours who compute all the time, as one among them. Three things help it:

- A container that took less than its share counts for more, by as much as it took less, up to `MOST` times its weight.
- It has short turns, so that it does not wait for the end of a neighbour's.
- It has some processors to itself, a quarter or at least one of two or more: those that took more than half of their
  share keep off them, as long as there is somebody for whom it is of use. It keeps to them while there is room enough,
  because the kernel seldom moves who waits behind a neighbour, even to a processor that has nothing to do. While one of
  those that take little is in use beside one that computes, the platform's own work keeps off its processors, too.

Nobody can take more than its share by that: who does, counts for what it is again at once, and goes on doing so until
its average has come down.
"""

from collections.abc import Mapping, Sequence

import msgspec

from paasd.sandbox.launcher.syscalls import LONG_TURN_NS

MOST = 16
PERIOD_S = 0.2
SHORT_TURN_NS = 100_000
# Of the daemon, which computes at times as heavy containers do, but should not wait for them.
DAEMON_TURN_NS = 10_000_000
# Of the average, what a second leaves of the time before: half of it is of the last seven seconds.
_KEPT = 0.9
# Of a burst, what a second leaves in memory: one of ten times the share counts for ten seconds.
_REMEMBERED = 0.8
# The part of the free processors that those who take little may take together, to have them and no others.
_ROOM = 0.5
# Of a processor, what a container takes that somebody uses: one request a second, or so.
_IN_USE_CORES = 0.0005


class Standing(msgspec.Struct, frozen=True):
    """How a container is to be treated: its weight times `factor`, with turns of this length, on these processors."""

    factor: int
    turn_ns: int
    processors: tuple[int, ...]


class _Use(msgspec.Struct):
    """`average` is the part of its share that it took in the last ten seconds or so, `peak` the most it took in one
    period, fading, `cores` the average in processors, and `taken_ns` all it ever took."""

    taken_ns: int
    average: float = 1.0
    peak: float = 2.0
    cores: float = 0.0

    @property
    def little(self) -> bool:
        return self.factor > 1

    @property
    def factor(self) -> int:
        """A power of two, so that it seldom changes."""
        taken, factor = max(self.average, self.peak / 2), MOST
        while factor > 1 and taken * factor > 1:
            factor //= 2
        return factor


class Fairness:
    """What each container took, by guid, and who runs where. The caller reads the clock and the counters. Pure.

    `processors` are those there are for containers, `count` their number where it is not known which they are;
    `free_percent` of them are kept free, at least one unless it is 0.
    """

    def __init__(self, processors: Sequence[int], count: int, free_percent: int = 25) -> None:
        self._count = len(processors) or count
        self._all = self._crowded = self._free = tuple(processors)
        if free_percent and len(processors) > 1:
            free = max(len(processors) * free_percent // 100, 1)
            self._crowded, self._free = self._all[:-free], self._all[-free:]
        self.own = self._all
        """Where the platform's own work is to run."""
        self._uses: dict[str, _Use] = {}
        self._at_s = 0.0

    def measure(self, taken_ns: Mapping[str, int], weights: Mapping[str, int], now_s: float) -> dict[str, Standing]:
        """How each one is to be treated from now on. `taken_ns` is the processor time that each took since it was
        made, of all there are."""
        passed_s, self._at_s = now_s - self._at_s, now_s
        total = sum(weights[guid] for guid in taken_ns)
        before, self._uses = self._uses, {}
        for guid, taken in taken_ns.items():
            # Of a new one nothing is known yet, or an earlier daemon made it count for more: it begins with its share.
            use = self._uses[guid] = before.get(guid) or _Use(taken)
            if guid in before:
                _take(use, taken, passed_s, self._count * weights[guid] / total)
        return self._standings()

    def _standings(self) -> dict[str, Standing]:
        light = [use for use in self._uses.values() if use.little]
        heavy_on = self._crowded if light else self._all
        needed = any(use.cores > _IN_USE_CORES for use in light)
        self.own = heavy_on if needed and len(light) < len(self._uses) else self._all
        light_on = self._free if sum(use.cores for use in light) <= len(self._free) * _ROOM else self._all
        return {
            guid: Standing(use.factor, SHORT_TURN_NS, light_on)
            if use.little
            else Standing(use.factor, LONG_TURN_NS, heavy_on)
            for guid, use in self._uses.items()
        }


def _take(use: _Use, taken_ns: int, passed_s: float, share_cores: float) -> None:
    kept, cores = _KEPT**passed_s, max(0, taken_ns - use.taken_ns) / (passed_s * 1e9)
    now = cores / share_cores
    use.taken_ns = taken_ns
    use.average = use.average * kept + now * (1 - kept)
    use.cores = use.cores * kept + cores * (1 - kept)
    use.peak = max(now, use.peak * _REMEMBERED**passed_s)
