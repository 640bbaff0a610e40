"""Placement: which node gets which instance. Pure, deterministic, and quick for a thousand nodes.

An instance goes to the zone with the fewest instances of its process, there to a node with the fewest of them, among
the least loaded that have room. Each zone keeps its nodes in a heap by load, and only the first few are looked at.
A share of every node, the headroom, is only for instances that were lost elsewhere or have to leave their node.
"""

import fnmatch
import heapq
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from paasd.model import Instance, Process

CANDIDATES = 4


class NodeCapacity(msgspec.Struct, kw_only=True):
    """A node that takes instances; what is reserved there already is in `used_*`. Sizes in MB."""

    guid: str
    zone: str
    memory_mb: int
    disk_mb: int
    used_memory_mb: int = 0
    used_disk_mb: int = 0

    @property
    def load(self) -> float:
        """The share of the scarcer resource that is reserved."""
        memory = self.used_memory_mb / self.memory_mb if self.memory_mb else 1.0
        disk = self.used_disk_mb / self.disk_mb if self.disk_mb else 1.0
        return max(memory, disk)

    def fits(self, demand: "Demand", headroom: float = 0.0) -> bool:
        """Whether there is room for one more; `headroom` is the share that is not for every demand."""
        share = 1.0 if demand.urgent else 1.0 - headroom
        return (
            self.used_memory_mb + demand.memory_mb <= self.memory_mb * share
            and self.used_disk_mb + demand.disk_mb <= self.disk_mb * share
        )


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """One instance that needs a node. `replaces` is the newest of its slot, which is `lost`, or moves.

    `zones` are patterns such as `aws/*`, of which one must match; none allows every zone.
    """

    process_guid: str
    index: int
    app_version: int
    memory_mb: int
    disk_mb: int
    epoch: int = 1
    replaces: str | None = None
    lost: bool = False
    zones: tuple[str, ...] = ()

    @property
    def urgent(self) -> bool:
        """Whether it ran elsewhere: then it may have the headroom."""
        return self.replaces is not None

    def allows(self, zone: str) -> bool:
        """Whether it may run there."""
        return not self.zones or any(fnmatch.fnmatchcase(zone, pattern) for pattern in self.zones)

    @property
    def moves(self) -> bool:
        """Whether it runs meanwhile where it is."""
        return self.replaces is not None and not self.lost


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A demand with its node."""

    demand: Demand
    node_guid: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A demand that fits nowhere, and what is short."""

    demand: Demand
    reason: str


def demand_for(
    process: Process,
    app_version: int,
    zones: tuple[str, ...],
    index: int,
    replaces: Instance | None = None,
    *,
    lost: bool = False,
) -> Demand:
    """One instance of a process, in an empty slot or in place of its newest."""
    return Demand(
        process_guid=process.guid,
        index=index,
        app_version=app_version,
        memory_mb=process.memory_mb,
        disk_mb=process.disk_mb,
        epoch=1 if replaces is None else replaces.epoch + 1,
        replaces=None if replaces is None else replaces.guid,
        lost=lost,
        zones=zones,
    )


def place(
    demands: Iterable[Demand],
    nodes: Sequence[NodeCapacity],
    present: Iterable[tuple[str, str]] = (),
    *,
    headroom: float = 0.0,
    give_up: Callable[[Demand], None] = lambda demand: None,
) -> tuple[list[Placed], list[Failure]]:
    """Decide every demand in order. `present` are (process guid, node guid) of instances that stay.

    `give_up` is told at once what fits nowhere, before the next demand is asked for.

    The `nodes` are used up on the way: their `used_*` say afterwards what is reserved. In a single zone there is no
    headroom: nothing is left of it to absorb its loss.
    """
    cluster = _Cluster(nodes, present, headroom if len({node.zone for node in nodes}) > 1 else 0.0)
    placed: list[Placed] = []
    failures: list[Failure] = []
    for demand in demands:
        node = cluster.choose(demand)
        if node is None:
            failures.append(Failure(demand=demand, reason=cluster.shortage(demand)))
            give_up(demand)
        else:
            placed.append(Placed(demand=demand, node_guid=node.guid))
    return placed, failures


class _Cluster:
    """The nodes by zone and load, and where the instances of each process are."""

    def __init__(self, nodes: Sequence[NodeCapacity], present: Iterable[tuple[str, str]], headroom: float) -> None:
        self._nodes = nodes
        self._headroom = headroom
        self._heaps: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self._zone_of = {node.guid: node.zone for node in nodes}
        self._on_node: dict[tuple[str, str], int] = defaultdict(int)
        self._in_zone: dict[tuple[str, str], int] = defaultdict(int)
        self._hopeless = _Hopeless()
        for position, node in enumerate(nodes):
            self._heaps[node.zone].append((node.load, position))
        for heap in self._heaps.values():
            heapq.heapify(heap)
        for process_guid, node_guid in present:
            self._count(process_guid, node_guid)

    def _count(self, process_guid: str, node_guid: str) -> None:
        self._on_node[process_guid, node_guid] += 1
        zone = self._zone_of.get(node_guid)
        if zone is not None:
            self._in_zone[process_guid, zone] += 1

    def choose(self, demand: Demand) -> NodeCapacity | None:
        """Reserve room for the demand on the best node; None when it fits nowhere."""
        if demand in self._hopeless:
            return None
        zones = sorted(
            (zone for zone, heap in self._heaps.items() if heap and demand.allows(zone)),
            key=lambda zone: (self._in_zone[demand.process_guid, zone], self._heaps[zone][0]),
        )
        for zone in zones:
            position = self._best_of(zone, demand)
            if position is not None:
                return self._reserve(position, demand)
        # Rare: the least loaded nodes are small ones and have no room, a larger one may.
        fitting = [
            p for p, one in enumerate(self._nodes) if one.fits(demand, self._headroom) and demand.allows(one.zone)
        ]
        if fitting:
            return self._reserve(min(fitting, key=lambda p: self._nodes[p].load), demand)
        self._hopeless.add(demand)
        return None

    def _best_of(self, zone: str, demand: Demand) -> int | None:
        heap = self._heaps[zone]
        looked_at: list[tuple[float, int]] = []
        while heap and len(looked_at) < CANDIDATES:
            entry = heapq.heappop(heap)
            if entry[0] == self._nodes[entry[1]].load:
                looked_at.append(entry)
        for entry in looked_at:
            heapq.heappush(heap, entry)
        fitting = [entry for entry in looked_at if self._nodes[entry[1]].fits(demand, self._headroom)]
        if not fitting:
            return None
        count = self._on_node
        guid = demand.process_guid
        return min(fitting, key=lambda entry: (count[guid, self._nodes[entry[1]].guid], entry))[1]

    def _reserve(self, position: int, demand: Demand) -> NodeCapacity:
        node = self._nodes[position]
        node.used_memory_mb += demand.memory_mb
        node.used_disk_mb += demand.disk_mb
        heapq.heappush(self._heaps[node.zone], (node.load, position))
        self._count(demand.process_guid, node.guid)
        return node

    def shortage(self, demand: Demand) -> str:
        """Cloud Foundry's words for a demand without a place."""
        if not self._nodes:
            return "insufficient resources: no node is ready"
        nodes = [node for node in self._nodes if demand.allows(node.zone)]
        if not nodes:
            return f"insufficient resources: no node is ready in the zones {', '.join(demand.zones)}"
        if any(node.fits(demand) for node in nodes):
            kept = f"{self._headroom:.0%} of every node is kept for what is lost elsewhere"
            return f"insufficient resources: memory or disk ({kept})"
        memory = any(node.used_memory_mb + demand.memory_mb <= node.memory_mb for node in nodes)
        disk = any(node.used_disk_mb + demand.disk_mb <= node.disk_mb for node in nodes)
        short = [name for name, enough in (("memory", memory), ("disk", disk)) if not enough]
        return f"insufficient resources: {', '.join(short) or 'memory and disk on one node'}"


class _Hopeless:
    """The smallest demands that fitted nowhere: room only shrinks, so what is no smaller fails at once.

    Of the same zones and urgency each has less memory and more disk than the next one, so that a look takes few steps
    even where thousands of sizes are asked for of which none is smaller than another.
    """

    def __init__(self) -> None:
        self._fronts: dict[tuple[tuple[str, ...], bool], list[tuple[int, int]]] = defaultdict(list)

    def __contains__(self, demand: Demand) -> bool:
        """What fails though it is urgent fails all the more when it is not."""
        for urgent in {True, demand.urgent}:
            front = self._fronts[demand.zones, urgent]
            behind = bisect_right(front, demand.memory_mb, key=lambda size: size[0])
            if behind and front[behind - 1][1] <= demand.disk_mb:
                return True
        return False

    def add(self, demand: Demand) -> None:
        """One that is not in here yet."""
        front = self._fronts[demand.zones, demand.urgent]
        start = end = bisect_left(front, demand.memory_mb, key=lambda size: size[0])
        while end < len(front) and front[end][1] >= demand.disk_mb:
            end += 1
        front[start:end] = [(demand.memory_mb, demand.disk_mb)]
