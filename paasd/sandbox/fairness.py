"""Whoever took little of the processor lately comes before those who took much.

The kernel shares the processor out by weight over time, but does not mind who waits meanwhile: a program that wakes up
for a request stands in line with neighbours who compute all the time, as one among them. So a container that took less
than its share counts for more, by as much as it took less, up to `MOST` times its weight. It cannot take more than its
share by that: as soon as it does, it counts for what it is again, and goes on doing so until its average has come down.
"""

from collections.abc import Mapping

import msgspec

MOST = 16
PERIOD_S = 1.0
# Of the average, what a period leaves of the ones before: half of it is of the last seven seconds.
_KEPT = 0.9


class _Use(msgspec.Struct):
    """`average_cores` is of the last ten seconds or so, `taken_ns` all that it ever took."""

    taken_ns: int
    average_cores: float
    factor: int = 1


class Fairness:
    """What each container took, by guid. The caller reads the clock and the counters. Pure."""

    def __init__(self, processors: int) -> None:
        self._processors = processors
        self._uses: dict[str, _Use] = {}
        self._at_s = 0.0

    def measure(self, taken_ns: Mapping[str, int], weights: Mapping[str, int], now_s: float) -> dict[str, int]:
        """By how much each one's weight is to be multiplied from now on: those alone for which that has changed.

        `taken_ns` is the processor time of all there are, since each was made.
        """
        passed_ns, self._at_s = (now_s - self._at_s) * 1e9, now_s
        total = sum(weights[guid] for guid in taken_ns)
        before, self._uses, changed = self._uses, {}, {}
        for guid, taken in taken_ns.items():
            share = self._processors * weights[guid] / total
            use = before.get(guid)
            if use is None:
                # Nothing is known of it yet, or an earlier daemon made it count for more: it begins with its share.
                use, factor = _Use(taken, share, 0), 1
            else:
                cores = max(0, taken - use.taken_ns) / passed_ns
                use.taken_ns, use.average_cores = taken, use.average_cores * _KEPT + cores * (1 - _KEPT)
                factor = _factor(share, max(cores, use.average_cores))
            self._uses[guid] = use
            if factor != use.factor:
                use.factor = changed[guid] = factor
        return changed


def _factor(share_cores: float, used_cores: float) -> int:
    """A power of two, so that it seldom changes."""
    factor = MOST
    while factor > 1 and used_cores * factor > share_cores:
        factor //= 2
    return factor
