"""Whoever took little of the processor lately comes before those who took much.

The kernel shares the processor out by weight over time, but does not mind who waits meanwhile: a program that wakes up
for a request stands in line with neighbours who compute all the time, as one among them. Three things help it:

- A container that took less than its share counts for more, by as much as it took less, up to `MOST` times its weight.
- Who takes little has short turns, so that it does not wait for the end of a neighbour's.
- It has some processors to itself, a quarter or at least one of two or more: the others keep off them, as long as there
  is somebody for whom it is of use. Those that take the least keep to them, as many as there is room for, because the
  kernel seldom moves who waits behind a neighbour, even to a processor that has nothing to do. While one of those that
  take little is in use beside one that computes, the platform's own work keeps off its processors, too.

Little is at most half of the share, or of what the greediest one takes, but of no more than `_MODEST_CORES`: beside
many who are idle the share is next to nothing, and who answers a few requests is not to wait among those who compute.
The greediest one is the measure, and not what is left of the processors, for those who compute are held on some; their
shares are of those, too.

Nobody can take more than its share by that: who does, counts for what it is again at once, and goes on doing so until
its average has come down. More than a share, if little, brings turns and a place, and no weight.
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
# The same of what was taken lately: half of it is of the last second.
_LATELY_KEPT = 0.5
# Of a burst, what a second leaves in memory: one of ten times the share counts for ten seconds.
_REMEMBERED = 0.8
# The part of the free processors that those who take little may take together, to have them and no others.
_ROOM = 0.5
# Of a processor, what a container takes that somebody uses: one request a second, or so.
_IN_USE_CORES = 0.0005
# Of a processor, what the greediest one counts for at most.
_MODEST_CORES = 0.2
# Of the free processors, what those who are on them may take beyond the room there is, so that few come and go.
_SLACK = 0.1


class Standing(msgspec.Struct, frozen=True):
    """How a container is to be treated: its weight times `factor`, with turns of this length, on these processors."""

    factor: int
    turn_ns: int
    processors: tuple[int, ...]


class _Use(msgspec.Struct):
    """What one container took: `taken_ns` ever, `cores` processors on the average of the last ten seconds or so, and
    `lately` on that of one or two. Of a new one nothing is known: it begins with its share, which fades (`unknown`)."""

    taken_ns: int
    cores: float = 0.0
    lately: float = 0.0
    unknown: float = 1.0
    average: float = 1.0
    """The part of its share by weight, as `cores`."""
    peak: float = 2.0
    """The most of it in one period, fading."""
    much: float = 1.0
    """The part of what is not little yet, as `cores`; `burst` is the most of it, fading."""
    burst: float = 2.0

    @property
    def little(self) -> bool:
        return max(self.much, self.burst / 2) <= 0.5

    @property
    def factor(self) -> int:
        """A power of two, so that it seldom changes."""
        taken, factor = max(self.average, self.peak / 2), MOST
        while factor > 1 and taken * factor > 1:
            factor //= 2
        return factor

    def take(self, taken_ns: int, passed_s: float) -> float:
        """Processors that it took since the last time."""
        now = max(0, taken_ns - self.taken_ns) / (passed_s * 1e9)
        self.taken_ns = taken_ns
        self.cores = _mixed(self.cores, now, _KEPT**passed_s)
        self.lately = _mixed(self.lately, now, _LATELY_KEPT**passed_s)
        return now

    def judge(self, now: float, share: float, modest: float, passed_s: float) -> None:
        """`now`, its share and what is modest, in processors."""
        faded = _REMEMBERED**passed_s
        self.average = _mixed(self.average, now / share, _KEPT**passed_s)
        self.peak = max(now / share, self.peak * faded)
        self.unknown *= _KEPT**passed_s
        self.much = self.cores / modest + self.unknown
        # A request is no burst, however little all others do; a second or two of what the greediest one takes is.
        self.burst = max(now / max(share, _MODEST_CORES), 1.5 * self.lately / modest, self.burst * faded)


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
        self._part_held = len(self._crowded) / len(self._all) if processors else 1.0
        self.own = self._all
        """Where the platform's own work is to run."""
        self._uses: dict[str, _Use] = {}
        self._kept: set[str] = set()
        self._held: set[str] = set()
        self._at_s = 0.0

    def measure(self, taken_ns: Mapping[str, int], weights: Mapping[str, int], now_s: float) -> dict[str, Standing]:
        """How each one is to be treated from now on. `taken_ns` is the processor time that each took since it was
        made, of all there are."""
        passed_s, self._at_s = now_s - self._at_s, now_s
        before, self._uses = self._uses, {}
        took: dict[str, float] = {}
        for guid, taken in taken_ns.items():
            use = self._uses[guid] = before.get(guid) or _Use(taken)
            if guid in before:
                took[guid] = use.take(taken, passed_s)
        one = self._count / sum(weights[guid] for guid in taken_ns) if taken_ns else 0.0
        greedy = (min(use.cores, use.lately) / weights[guid] for guid, use in self._uses.items())
        greediest = max(greedy, default=0.0)
        for guid, now in took.items():
            share = one * weights[guid]
            here = share * self._part_held if guid in self._held else share
            modest = max(here, min(greediest * weights[guid], _MODEST_CORES))
            self._uses[guid].judge(now, share, modest, passed_s)
        return self._standings()

    def _standings(self) -> dict[str, Standing]:
        light = {guid: max(use.cores, use.lately) for guid, use in self._uses.items() if use.little}
        heavy_on = self._crowded if light else self._all
        needed = any(cores > _IN_USE_CORES for cores in light.values())
        self.own = heavy_on if needed and len(light) < len(self._uses) else self._all
        self._kept = self._fitting(light)
        self._held = self._uses.keys() - light.keys() if light else set()
        return {
            guid: Standing(use.factor, SHORT_TURN_NS, self._free if guid in self._kept else self._all)
            if guid in light
            else Standing(use.factor, LONG_TURN_NS, heavy_on)
            for guid, use in self._uses.items()
        }

    def _fitting(self, light: Mapping[str, float]) -> set[str]:
        """Those for whom there is room on the free processors, from the one that takes the least."""
        fitting, taken = set(), 0.0
        for guid in sorted(light, key=lambda guid: light[guid]):
            taken += light[guid]
            part = _ROOM + (_SLACK if guid in self._kept else 0.0)
            if taken <= len(self._free) * part:
                fitting.add(guid)
        return fitting


def _mixed(average: float, now: float, kept: float) -> float:
    return average * kept + now * (1 - kept)
