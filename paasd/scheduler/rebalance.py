"""Evening out what nodes that came or went have left uneven: few instances at a time, and only if it is worth it. Pure.

Two reasons are good enough: the instances of a process are spread unevenly over zones, or two nodes differ widely in
load. A move starts the instance elsewhere first, so it costs its start and its warm caches.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from paasd.model import Instance, Process
from paasd.scheduler.placement import CANDIDATES, Demand, NodeCapacity, Placed, demand_for

_UNEVEN = 2  # so many instances more in one zone than in another


class Rebalancing:
    """`movable` are instances that may move, on nodes of `nodes`, whose `used_*` count everything that is there."""

    def __init__(
        self,
        nodes: Sequence[NodeCapacity],
        movable: Iterable[Instance],
        demand_of: Callable[[Instance], Demand],
        *,
        headroom: float,
        difference: float,
    ) -> None:
        self._nodes = {node.guid: node for node in nodes}
        self._demand_of = demand_of
        self._headroom = headroom
        self._difference = difference
        self._on_node: dict[str, list[Instance]] = defaultdict(list)
        self._of_process: dict[str, list[Instance]] = defaultdict(list)
        self._in_zone: Counter[tuple[str, str]] = Counter()
        for instance in movable:
            if instance.node_guid in self._nodes:
                self._on_node[instance.node_guid].append(instance)
                self._of_process[instance.process_guid].append(instance)
                self._in_zone[instance.process_guid, self._nodes[instance.node_guid].zone] += 1
        self._moved: dict[str, Placed] = {}

    def moves(self, limit: int) -> list[Placed]:
        """At most so many, the unevenly spread processes first."""
        zones = sorted({node.zone for node in self._nodes.values()})
        for process_guid in sorted(self._of_process):
            while len(self._moved) < limit and self._spread(process_guid, zones):
                pass
        while len(self._moved) < limit and self._level():
            pass
        return list(self._moved.values())

    def _spread(self, process_guid: str, zones: Sequence[str]) -> bool:
        """Move one instance from the zone with the most to the one with the fewest that takes it."""
        counts = {zone: self._in_zone[process_guid, zone] for zone in zones}
        fullest = max(zones, key=lambda zone: (counts[zone], zone))
        if counts[fullest] - min(counts.values()) < _UNEVEN:
            return False
        # All of a process are of one size, so one of them stands for all.
        instance = max(
            (one for one in self._of_process[process_guid] if self._zone_of(one) == fullest), key=lambda one: one.index
        )
        for zone in sorted(zones, key=lambda zone: (counts[zone], zone)):
            if counts[fullest] - counts[zone] < _UNEVEN:
                return False
            inside = sorted((n for n in self._nodes.values() if n.zone == zone), key=lambda n: (n.load, n.guid))
            if any(self._move(instance, node) for node in inside[:CANDIDATES]):
                return True
        return False

    def _level(self) -> bool:
        """Move one instance from the most to the least loaded node, if that makes them more alike."""
        order = sorted(self._nodes.values(), key=lambda node: (node.load, node.guid))
        if len(order) < 2:
            return False
        cold, hot = order[0], order[-1]
        if hot.load - cold.load <= self._difference:
            return False
        for instance in sorted(self._on_node[hot.guid], key=lambda one: one.guid):
            process = instance.process_guid
            spread_stays = cold.zone == hot.zone or self._in_zone[process, cold.zone] < self._in_zone[process, hot.zone]
            crowded = any(one.process_guid == process for one in self._on_node[cold.guid])
            overshoots = cold.memory_mb == 0 or cold.load + instance.memory_mb / cold.memory_mb >= hot.load
            if spread_stays and not crowded and not overshoots and self._move(instance, cold):
                return True
        return False

    def _move(self, instance: Instance, node: NodeCapacity) -> bool:
        demand = self._demand_of(instance)
        everyday = msgspec.structs.replace(demand, replaces=None)  # a move is no emergency: it gets no headroom
        if instance.guid in self._moved or not demand.allows(node.zone) or not node.fits(everyday, self._headroom):
            return False
        former = self._nodes[instance.node_guid]
        former.used_memory_mb -= instance.memory_mb
        former.used_disk_mb -= instance.disk_mb
        node.used_memory_mb += demand.memory_mb
        node.used_disk_mb += demand.disk_mb
        self._on_node[former.guid].remove(instance)
        self._of_process[instance.process_guid].remove(instance)
        self._in_zone[instance.process_guid, former.zone] -= 1
        self._in_zone[instance.process_guid, node.zone] += 1
        self._moved[instance.guid] = Placed(demand=demand, node_guid=node.guid)
        return True

    def _zone_of(self, instance: Instance) -> str:
        return self._nodes[instance.node_guid].zone


def at_once(share: float, instances: int, under_way: int) -> int:
    """How many more may be moved now: the share of all, one at least, less those under way."""
    return max(0, max(1, int(share * instances)) - under_way) if share > 0 else 0


def demands_of(processes: Mapping[str, Process], zones: Mapping[str, tuple[str, ...]]) -> Callable[[Instance], Demand]:
    """What an instance needs elsewhere; `zones` are the patterns of each app that has some."""

    def demand_of(instance: Instance) -> Demand:
        process = processes[instance.process_guid]
        return demand_for(process, instance.app_version, zones.get(process.app_guid, ()), instance.index, instance)

    return demand_of
