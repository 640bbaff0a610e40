"""Who can send to whom, in a simulation."""

from collections.abc import Iterable, Sequence


class Network:
    """Who can send to whom. `cut` works on one direction; a node that is down or paused neither sends nor answers."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self.nodes = nodes
        self.down: set[str] = set()
        self.paused: set[str] = set()
        self._cut: set[tuple[str, str]] = set()

    def cut(self, sources: Iterable[str], targets: Iterable[str], *, both: bool = True) -> None:
        targets = list(targets)
        for source in sources:
            for target in targets:
                self._cut.add((source, target))
                if both:
                    self._cut.add((target, source))

    def heal(self) -> None:
        self._cut.clear()

    def isolate(self, *nodes: str) -> None:
        self.cut(nodes, [one for one in self.nodes if one not in nodes])

    def up(self, node: str) -> bool:
        return node not in self.down and node not in self.paused

    def passes(self, source: str, target: str) -> bool:
        return self.up(source) and self.up(target) and (source, target) not in self._cut

    def both_ways(self, one: str, two: str) -> bool:
        return self.up(one) if one == two else self.passes(one, two) and self.passes(two, one)

    def probes(self, one: str, two: str) -> bool:
        """Directly, or through a third as SWIM does."""
        if self.both_ways(one, two):
            return True
        return any(self.both_ways(one, other) and self.both_ways(other, two) for other in self.nodes)
