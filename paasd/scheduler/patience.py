"""What a scheduler remembers between two plans, pure: since when nodes are steady, and how long moves have taken."""

from collections.abc import Iterable
from math import inf

from paasd.config import SchedulerConfig
from paasd.model import Node


class Patience:
    """Times are of one monotonic clock. A scheduler that has just started has seen nothing be steady yet."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._config = config
        self._nodes: frozenset[tuple[str, str, int]] = frozenset()
        self._steady_since = -inf
        self._waiting: dict[str, float] = {}

    def see_nodes(self, now: float, nodes: Iterable[Node], unreachable: frozenset[str]) -> None:
        """A node that comes, goes, changes its state or cannot be reached is not steady."""
        seen = frozenset((node.guid, node.state + "?" * (node.guid in unreachable), node.incarnation) for node in nodes)
        if seen != self._nodes:
            self._nodes, self._steady_since = seen, max(now, self._steady_since)

    def see_successors(self, now: float, guids: Iterable[str]) -> None:
        """These are waited for. After one that took too long nothing is evened out for as long as it was given."""
        overdue = self.overdue(now)
        self._waiting = {guid: self._waiting.get(guid, now) for guid in guids}
        if overdue - self._waiting.keys():
            self._steady_since = now + self._config.move_patience_s

    def calm(self, now: float) -> bool:
        """Whether it is time to even out what is uneven."""
        return now >= self._steady_since + self._config.rebalance_after_s

    def overdue(self, now: float) -> frozenset[str]:
        """Successors that do not become healthy."""
        return frozenset(guid for guid, since in self._waiting.items() if now >= since + self._config.move_patience_s)
