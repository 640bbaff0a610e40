"""What should run against what has a place. Pure: rows in, a plan out."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import filterfalse

import msgspec

from paasd.config import SchedulerConfig
from paasd.model import App, Build, Instance, Lease, Node, PlacementFailure, Process, Task
from paasd.model.builds import AssignBuild
from paasd.model.leases import instance_slot
from paasd.scheduler.demands import Demands
from paasd.scheduler.placement import Demand, NodeCapacity, Placed, demand_for, place
from paasd.scheduler.rebalance import Rebalancing, at_once, demands_of
from paasd.scheduler.singles import ONLY_ONE, WAITING, SingleVerdict, judge_single
from paasd.scheduler.slots import Nodes, Verdict, judge
from paasd.scheduler.tasks import Reserved, assign_tasks_to

Slot = tuple[str, int]  # process guid, index


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that a plan is made from; `apps` are those that are started, `builds` those that are staging.

    `running` are the guids of instances that are seen to be healthy, `unreachable` nodes that get nothing now, and with
    `frozen` nothing that is lost is replaced and nothing moves. `singletons` are apps, `leases` those of instances,
    `zones` the patterns of apps that may only run in some. Successors that are `overdue` do not become healthy. When it
    is `calm`, what is unevenly spread may be evened out. `tasks` wait for a node; `taken` is what others have there.
    """

    apps: list[App]
    processes: list[Process]
    instances: list[Instance]
    nodes: list[Node]
    builds: list[Build]
    failures: list[PlacementFailure]
    running: frozenset[str] = frozenset()
    unreachable: frozenset[str] = frozenset()
    frozen: bool = False
    singletons: frozenset[str] = frozenset()
    leases: list[Lease] = []
    zones: dict[str, tuple[str, ...]] = {}
    overdue: frozenset[str] = frozenset()
    calm: bool = False
    tasks: list[Task] = []
    taken: dict[str, Reserved] = {}

    @property
    def size(self) -> int:
        """Instances that a plan may have to decide, those that are there and those that are wanted."""
        return len(self.instances) + sum(process.instances for process in self.processes)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to write. `reasons` are changes only: why a process lacks places, None when it lacks none any more.

    While something is `moving`, what is observed of instances can lead to another plan. `waiting` are slots whose
    lease must end before anything can be placed there. `successors` are instances whose elders wait for them.
    """

    remove: list[str]
    retire: list[str]
    lost: list[str]
    lease: list[str]
    place: list[Placed]
    reasons: dict[str, str | None]
    assign: list[AssignBuild]
    tasks: dict[str, str]
    waiting: list[str]
    moving: bool
    successors: list[str]


def make_plan(snapshot: Snapshot, config: SchedulerConfig | None = None) -> Plan:
    """Instances to take away first, then those to place, and nodes for builds that have none."""
    config = config or SchedulerConfig()
    apps = {app.guid: app for app in snapshot.apps if app.state == "STARTED" and app.droplet_guid and not app.deleting}
    wanted = {process.guid: process for process in snapshot.processes if process.app_guid in apps}
    nodes = Nodes.of(snapshot.nodes, snapshot.unreachable, apps_on_control=config.apps_on_control)
    slots, stale = _by_slot(snapshot, apps, wanted)
    leases = {lease.slot: lease for lease in snapshot.leases}
    singles = {
        guid: judge_single(slots.pop((guid, 0), ()), nodes, leases.get(instance_slot(guid, 0)), frozen=snapshot.frozen)
        for guid, process in wanted.items()
        if process.app_guid in snapshot.singletons and process.instances > 0
    }
    verdicts = {
        slot: judge(rows, nodes, snapshot.running, frozen=snapshot.frozen, overdue=snapshot.overdue)
        for slot, rows in slots.items()
    }
    kept = [instance for verdict in verdicts.values() for instance in verdict.kept]
    kept += [verdict.kept for verdict in singles.values() if verdict.kept is not None]
    successors = [verdict.kept[-1].guid for verdict in verdicts.values() if verdict.moving]
    moves = max(0, config.moves_at_once - len(successors))
    demands = _demands(apps, wanted.values(), verdicts, singles, snapshot.zones, moves)
    capacities = _capacities(snapshot.nodes, nodes, kept, snapshot.taken)
    present = [(one.process_guid, one.node_guid) for one in kept]
    wanting = bool(demands)
    placed, failed = place(demands, capacities, present, headroom=config.headroom, give_up=demands.give_up)
    if snapshot.calm and not snapshot.frozen and not wanting and not nodes.draining and len(capacities) > 1:
        limit = min(moves, at_once(config.rebalance_share, len(kept), len(successors)))
        movable = [verdict.kept[0] for verdict in verdicts.values() if len(verdict.kept) == 1]
        placed = _evened(capacities, movable, demands_of(wanted, snapshot.zones), config).moves(limit)
    # One that only wants to move runs meanwhile: that is no reason to call its process short of anything.
    reasons = {one.demand.process_guid: one.reason for one in failed if not one.demand.moves}
    waiting = [guid for guid, verdict in singles.items() if verdict.need == "wait"]
    reasons.update(dict.fromkeys(waiting, WAITING))
    for guid in singles:
        if wanted[guid].instances > 1:
            reasons.setdefault(guid, ONLY_ONE)
    stopped_first = {one.demand.replaces for one in placed if one.demand.process_guid in singles} - {None}
    return Plan(
        remove=[
            *stale,
            *(one.guid for verdict in verdicts.values() for one in verdict.drop),
            *(one.guid for verdict in singles.values() for one in verdict.remove),
            *sorted(guid for guid in stopped_first if guid is not None),
        ],
        retire=[one.guid for verdict in verdicts.values() for one in verdict.retire],
        lost=[one.guid for verdict in singles.values() for one in verdict.lost],
        lease=[verdict.lease.guid for verdict in singles.values() if verdict.lease is not None],
        place=[one for one in placed if one.demand.replaces not in stopped_first],
        reasons=_changed_reasons(snapshot.failures, reasons),
        assign=assign_builds(snapshot.builds, nodes),
        tasks=assign_tasks_to(snapshot.tasks, snapshot.nodes, snapshot.instances, snapshot.taken, nodes),
        waiting=[instance_slot(guid, 0) for guid in waiting],
        moving=bool(successors) or any(one.demand.replaces is not None for one in placed),
        successors=successors,
    )


def _evened(
    capacities: list[NodeCapacity],
    movable: list[Instance],
    demands: Callable[[Instance], Demand],
    config: SchedulerConfig,
) -> Rebalancing:
    difference = config.rebalance_difference
    return Rebalancing(capacities, movable, demands, headroom=config.headroom, difference=difference)


def _by_slot(
    snapshot: Snapshot, apps: dict[str, App], wanted: dict[str, Process]
) -> tuple[dict[Slot, list[Instance]], list[str]]:
    """The instances that are still wanted, by slot, and the guids of the others."""
    slots: dict[Slot, list[Instance]] = defaultdict(list)
    stale: list[str] = []
    for instance in snapshot.instances:
        process = wanted.get(instance.process_guid)
        count = 0 if process is None else _count(process, snapshot.singletons)
        if instance.index < count and instance.app_version == apps[instance.app_guid].version:
            slots[instance.process_guid, instance.index].append(instance)
        else:
            stale.append(instance.guid)
    return slots, stale


def _count(process: Process, singletons: Collection[str]) -> int:
    return min(1, process.instances) if process.app_guid in singletons else process.instances


def _demands(
    apps: dict[str, App],
    processes: Iterable[Process],
    verdicts: dict[Slot, Verdict],
    singles: dict[str, SingleVerdict],
    zones: dict[str, tuple[str, ...]],
    moves: int,
) -> Demands:
    """What is missing or lost, lowest indices of every process first, so that every app gets something; then moves."""
    runs: list[Iterator[Demand]] = []
    moving: list[Demand] = []
    present: dict[str, dict[int, Verdict]] = defaultdict(dict)
    for (guid, index), verdict in verdicts.items():
        present[guid][index] = verdict
    for process in processes:
        single = singles.get(process.guid)
        want = partial(demand_for, process, apps[process.app_guid].version, zones.get(process.app_guid, ()))
        if single is not None:
            if single.need == "place":
                runs.append(iter([want(0)]))
            elif single.need == "move" and single.kept is not None:
                moving.append(want(0, single.kept))
            continue
        slots = present.get(process.guid, {})
        there = sorted(slots.items())
        runs.append(map(want, filterfalse(slots.__contains__, range(process.instances))))
        runs.append(iter([want(index, one.newest, lost=True) for index, one in there if one.need == "lost"]))
        moving += [want(index, one.newest) for index, one in there if one.need == "move"]
    return Demands(runs, moving[:moves])


def _capacities(
    rows: Iterable[Node], nodes: Nodes, kept: Iterable[Instance], taken: Mapping[str, Reserved]
) -> list[NodeCapacity]:
    ready = {
        node.guid: NodeCapacity(guid=node.guid, zone=node.zone, memory_mb=node.memory_mb, disk_mb=node.disk_mb)
        for node in rows
        if node.guid in nodes.ready
    }
    for guid, (memory_mb, disk_mb) in taken.items():
        if guid in ready:
            ready[guid].used_memory_mb, ready[guid].used_disk_mb = memory_mb, disk_mb
    for instance in kept:
        node = ready.get(instance.node_guid)
        if node is not None:
            node.used_memory_mb += instance.memory_mb
            node.used_disk_mb += instance.disk_mb
    return list(ready.values())


def _changed_reasons(known: Iterable[PlacementFailure], reasons: dict[str, str]) -> dict[str, str | None]:
    before = {failure.process_guid: failure.reason for failure in known}
    changed: dict[str, str | None] = {guid: None for guid in before if guid not in reasons}
    changed.update({guid: reason for guid, reason in reasons.items() if before.get(guid) != reason})
    return changed


def assign_builds(builds: Iterable[Build], nodes: Nodes) -> list[AssignBuild]:
    """A ready node for each staging build that has none or whose node is lost: the one with the fewest builds."""
    busy = dict.fromkeys(nodes.ready, 0)
    waiting: list[Build] = []
    for build in builds:
        if build.state != "STAGING":
            continue
        if build.node_guid in nodes.live:
            if build.node_guid in busy:
                busy[build.node_guid] += 1
        else:
            waiting.append(build)
    ready = sorted(nodes.ready)
    assigned: list[AssignBuild] = []
    for build in waiting if ready else ():
        node_guid = min(ready, key=lambda guid: (busy[guid], guid))
        busy[node_guid] += 1
        assigned.append(AssignBuild(build_guid=build.guid, node_guid=node_guid, epoch=build.epoch))
    return assigned
