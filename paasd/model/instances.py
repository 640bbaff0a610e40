"""Instances: rows that the scheduler writes and supervisors make true, checked again inside the transaction."""

from typing import Any

from paasd.model.arguments import Actor, Arguments
from paasd.model.brake import read_brake
from paasd.model.events import record_app_event
from paasd.model.leases import grant_lease, instance_slot, is_singleton
from paasd.model.nodes import LIVE_STATES
from paasd.model.quotas.accounting import let_go
from paasd.model.records import App, AuditEvent, Instance, Node, PlacementFailure, Process
from paasd.model.reserving import reserved_on
from paasd.model.revisions import droplet_to_run
from paasd.state import Ge, Gt, ReadTx, Tx, operation

CRASH_EVENT = "app.crash"


class Placement(Arguments):
    """One instance on one node, as decided from a snapshot.

    `replaces` names the newest instance of its slot (process and index). That one goes with this placement when it is
    `lost`; otherwise it goes on until its successor runs. `lease_s` is how long the lease of a singleton lasts.
    """

    process_guid: str
    index: int
    app_version: int
    node_guid: str
    epoch: int = 1
    replaces: str | None = None
    lost: bool = False
    lease_s: float | None = None


class PlaceInstances(Arguments):
    """Arguments of `place_instances`."""

    placements: list[Placement]


@operation("instances.place", version=1)
def place_instances(tx: Tx, args: PlaceInstances) -> list[str]:
    """Insert those that are still wanted and still fit; returns their guids. The others are decided anew."""
    placed: list[str] = []
    reserved: dict[str, tuple[int, int]] = {}
    for placement in args.placements:
        node = tx.get(Node, placement.node_guid)
        process = tx.get(Process, placement.process_guid)
        app = None if process is None else tx.get(App, process.app_guid)
        if node is None or process is None or app is None or not _wanted(app, process, placement):
            continue
        if node.guid not in reserved:
            reserved[node.guid] = reserved_on(tx, node.guid)
        memory_mb, disk_mb = reserved[node.guid]
        full = memory_mb + process.memory_mb > node.memory_mb or disk_mb + process.disk_mb > node.disk_mb
        if full or node.state != "READY" or not _takes_its_turn(tx, app, placement):
            continue
        epoch = _right_to_run(tx, app, placement)
        if epoch is None:
            continue
        instance = tx.insert(_instance(app, process, placement, epoch, droplet_to_run(tx, app) or ""))
        reserved[node.guid] = (memory_mb + process.memory_mb, disk_mb + process.disk_mb)
        placed.append(instance.guid)
    return placed


def _takes_its_turn(tx: Tx, app: App, placement: Placement) -> bool:
    """Whether the slot is as the placement takes it to be; a lost instance is deleted here, in the same transaction."""
    if placement.replaces is not None and is_singleton(tx, app.guid):
        return False  # two at once is what it must never have: first the one goes, then its lease, then comes the other
    rows = tx.all(Instance, process_guid=placement.process_guid, index=placement.index, order=("epoch",))
    newest = rows[-1] if rows else None
    if newest is None or placement.replaces is None:
        return newest is None and placement.replaces is None
    if newest.guid != placement.replaces or placement.epoch <= newest.epoch:
        return False
    if placement.lost:
        if is_live(tx, newest.node_guid) or read_brake(tx).engaged:
            return False
        let_go(tx, newest)
    return True


def _right_to_run(tx: Tx, app: App, placement: Placement) -> int | None:
    """The epoch of the new instance; a singleton's needs the lease of its slot, and is None while another has it."""
    if not is_singleton(tx, app.guid):
        return placement.epoch
    if placement.index != 0 or placement.lease_s is None:
        return None
    slot = instance_slot(placement.process_guid, placement.index)
    lease = grant_lease(tx, slot, placement.node_guid, epoch=placement.epoch, duration_s=placement.lease_s)
    return None if lease is None else lease.epoch


def is_live(tx: ReadTx, node_guid: str) -> bool:
    """Whether a node takes part; what is placed on one that does not is lost."""
    node = tx.get(Node, node_guid)
    return node is not None and node.state in LIVE_STATES


def _wanted(app: App, process: Process, placement: Placement) -> bool:
    return (
        app.state == "STARTED"
        and not app.deleting
        and app.droplet_guid is not None
        and app.version == placement.app_version
        and placement.index < process.instances
    )


def _instance(app: App, process: Process, placement: Placement, epoch: int, droplet_guid: str) -> Instance:
    return Instance(
        app_guid=app.guid,
        process_guid=process.guid,
        process_type=process.type,
        index=placement.index,
        app_version=app.version,
        droplet_guid=droplet_guid,
        node_guid=placement.node_guid,
        epoch=epoch,
        memory_mb=process.memory_mb,
        disk_mb=process.disk_mb,
        log_rate_limit_bytes=process.log_rate_limit_bytes,
    )


class RemoveInstances(Arguments):
    """Arguments of `remove_instances`."""

    guids: list[str]


@operation("instances.remove", version=1)
def remove_instances(tx: Tx, args: RemoveInstances) -> int:
    """Delete the rows that are still there; their supervisors stop what they stood for."""
    removed = 0
    for guid in args.guids:
        instance = tx.get(Instance, guid)
        if instance is not None:
            let_go(tx, instance)
            removed += 1
    return removed


@operation("instances.retire", version=1)
def retire_instances(tx: Tx, args: RemoveInstances) -> int:
    """Delete those that still have a successor: its row, on a live node, under a higher epoch."""
    retired = 0
    for guid in args.guids:
        instance = tx.get(Instance, guid)
        if instance is None:
            continue
        later = tx.all(Instance, Gt("epoch", instance.epoch), process_guid=instance.process_guid, index=instance.index)
        if any(is_live(tx, successor.node_guid) for successor in later):
            let_go(tx, instance)
            retired += 1
    return retired


@operation("instances.remove_lost", version=1)
def remove_lost_instances(tx: Tx, args: RemoveInstances) -> int:
    """Delete those whose node is not live, unless the brake is on; what takes their place is placed later."""
    if read_brake(tx).engaged:
        return 0
    lost = [
        one for guid in args.guids if (one := tx.get(Instance, guid)) is not None and not is_live(tx, one.node_guid)
    ]
    for instance in lost:
        let_go(tx, instance)
    return len(lost)


class RecordFailures(Arguments):
    """Arguments of `record_failures`: reason by process guid; None means that all instances have a place."""

    reasons: dict[str, str | None]


@operation("instances.record_failures", version=1)
def record_failures(tx: Tx, args: RecordFailures) -> None:
    """Remember or forget why instances have no node."""
    for process_guid, reason in args.reasons.items():
        known = tx.get(PlacementFailure, process_guid)
        process = tx.get(Process, process_guid)
        if reason is None or process is None:
            if known is not None:
                tx.delete(known)
        elif known is None:
            tx.insert(PlacementFailure(process_guid=process_guid, app_guid=process.app_guid, reason=reason))
        elif known.reason != reason:
            tx.update(known, reason=reason)


class RecordCrash(Arguments):
    """Arguments of `record_crash`. `count` is how many crashes the supervisor has seen since its last report."""

    instance_guid: str
    epoch: int
    node_guid: str
    reason: str = "CRASHED"
    exit_description: str = ""
    exit_code: int | None = None
    count: int = 1


@operation("instances.record_crash", version=1)
def record_crash(tx: Tx, args: RecordCrash) -> bool:
    """One event per app and minute at most, so that a crash loop cannot flood the log; False when none was written."""
    instance = tx.get(Instance, args.instance_guid)
    if instance is None or instance.epoch != args.epoch or instance.node_guid != args.node_guid:
        return False
    app = tx.get(App, instance.app_guid)
    minute = tx.now[:17] + "00Z"
    if app is None or tx.exists(AuditEvent, Ge("created_at", minute), target_guid=app.guid, type=CRASH_EVENT):
        return False
    data: dict[str, Any] = {
        "instance": instance.guid,
        "index": instance.index,
        "process_type": instance.process_type,
        "cell_id": instance.node_guid,
        "reason": args.reason,
        "exit_description": args.exit_description[:500],
        "exit_status": args.exit_code,
        "crash_count": args.count,
    }
    actor = Actor(guid=instance.process_guid, type="process", name=instance.process_type)
    record_app_event(tx, CRASH_EVENT, actor, app, data)
    return True
