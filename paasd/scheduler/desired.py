"""What should run against what has a place. Pure: rows in, a plan out."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from paasd.model import App, Build, Instance, Node, PlacementFailure, Process
from paasd.model.builds import AssignBuild
from paasd.scheduler.placement import Demand, NodeCapacity, Placed, place


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that a plan is made from; `apps` are those that are started, `builds` those that are staging."""

    apps: list[App]
    processes: list[Process]
    instances: list[Instance]
    nodes: list[Node]
    builds: list[Build]
    failures: list[PlacementFailure]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to write. `reasons` are changes only: why a process lacks places, None when it lacks none any more."""

    remove: list[str]
    place: list[Placed]
    reasons: dict[str, str | None]
    assign: list[AssignBuild]


def make_plan(snapshot: Snapshot) -> Plan:
    """Instances to take away first, then those to place, and nodes for builds that have none."""
    apps = {app.guid: app for app in snapshot.apps if app.state == "STARTED" and app.droplet_guid and not app.deleting}
    dead = {node.guid for node in snapshot.nodes if node.state == "DEAD"}
    known = {node.guid for node in snapshot.nodes}
    wanted = {process.guid: process for process in snapshot.processes if process.app_guid in apps}
    kept: list[Instance] = []
    remove: list[str] = []
    epochs: dict[tuple[str, int], int] = {}
    for instance in snapshot.instances:
        process = wanted.get(instance.process_guid)
        lost = instance.node_guid in dead or instance.node_guid not in known
        current = process is not None and instance.index < process.instances
        if current and not lost and instance.app_version == apps[instance.app_guid].version:
            kept.append(instance)
            continue
        remove.append(instance.guid)
        if lost:
            epochs[instance.process_guid, instance.index] = instance.epoch + 1
    demands = list(_demands(apps, wanted.values(), kept, epochs))
    nodes = _capacities(snapshot.nodes, kept)
    placed, failed = place(demands, nodes, ((i.process_guid, i.node_guid) for i in kept))
    reasons = {failure.demand.process_guid: failure.reason for failure in failed}
    return Plan(
        remove=remove,
        place=placed,
        reasons=_changed_reasons(snapshot.failures, reasons),
        assign=assign_builds(snapshot.builds, snapshot.nodes),
    )


def _demands(
    apps: dict[str, App],
    processes: Iterable[Process],
    kept: Iterable[Instance],
    epochs: dict[tuple[str, int], int],
) -> Iterable[Demand]:
    """The missing instances, lowest indices of every process first, so that every app gets something."""
    present: dict[str, set[int]] = defaultdict(set)
    for instance in kept:
        present[instance.process_guid].add(instance.index)
    missing = [
        Demand(
            process_guid=process.guid,
            index=index,
            app_version=apps[process.app_guid].version,
            memory_mb=process.memory_mb,
            disk_mb=process.disk_mb,
            epoch=epochs.get((process.guid, index), 1),
        )
        for process in processes
        for index in range(process.instances)
        if index not in present[process.guid]
    ]
    return sorted(missing, key=lambda demand: demand.index)


def _capacities(nodes: Iterable[Node], kept: Iterable[Instance]) -> list[NodeCapacity]:
    ready = {
        node.guid: NodeCapacity(guid=node.guid, zone=node.zone, memory_mb=node.memory_mb, disk_mb=node.disk_mb)
        for node in nodes
        if node.state == "READY"
    }
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


def assign_builds(builds: Iterable[Build], nodes: Iterable[Node]) -> list[AssignBuild]:
    """A ready node for each staging build that has none or whose node is lost: the one with the fewest builds."""
    alive = {node.guid for node in nodes if node.state != "DEAD"}
    busy = {node.guid: 0 for node in nodes if node.state == "READY"}
    waiting: list[Build] = []
    for build in builds:
        if build.state != "STAGING":
            continue
        if build.node_guid in alive:
            busy[build.node_guid] = busy.get(build.node_guid, 0) + 1
        else:
            waiting.append(build)
    ready = sorted(guid for guid in busy if guid in {node.guid for node in nodes if node.state == "READY"})
    assigned: list[AssignBuild] = []
    for build in waiting if ready else ():
        node_guid = min(ready, key=lambda guid: (busy[guid], guid))
        busy[node_guid] += 1
        assigned.append(AssignBuild(build_guid=build.guid, node_guid=node_guid, epoch=build.epoch))
    return assigned
