"""What needs a node, made one by one: an app may want far more than there is room for, which must cost nobody time."""

import heapq
from collections.abc import Iterable, Iterator, Sequence

from paasd.scheduler.placement import Demand


class Demands:
    """Demands in the order in which they are decided: the lowest indices of all runs first, then the `moves`.

    A run has equal demands of one process, indices ascending. Room only shrinks meanwhile, so the first one that fits
    nowhere stands for the rest of its run, which is never made. False when there is none at all.
    """

    def __init__(self, runs: Iterable[Iterator[Demand]], moves: Sequence[Demand] = ()) -> None:
        self._moves = moves
        self._in_vain: Demand | None = None
        begun = [(first, run) for run in runs if (first := next(run, None)) is not None]
        self._runs = [run for _, run in begun]
        # By index, then by run: no two entries compare their demands.
        self._queue = [(first.index, number, first) for number, (first, _) in enumerate(begun)]
        heapq.heapify(self._queue)

    def __bool__(self) -> bool:
        return bool(self._queue or self._moves)

    def __iter__(self) -> Iterator[Demand]:
        while self._queue:
            _, number, demand = self._queue[0]
            yield demand
            after = None if demand is self._in_vain else next(self._runs[number], None)
            if after is None:
                heapq.heappop(self._queue)
            else:
                heapq.heapreplace(self._queue, (after.index, number, after))
        yield from self._moves

    def give_up(self, demand: Demand) -> None:
        """The demand that was handed out last fits nowhere."""
        self._in_vain = demand
