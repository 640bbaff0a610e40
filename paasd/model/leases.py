"""Leases: what must never run twice at once, whatever is cut off from whom.

The holder renews its row and may go on for `duration_s` from before it sent the renewal; its shim holds it to that. Who
wants to replace it waits `duration_s` and a margin from the last renewal that it saw, and then takes the lease away on
condition that nothing has changed. Only each node's own monotonic clock counts. A row stays when it is free, so that
its epoch never goes back.
"""

from typing import Final

import msgspec

from paasd.model.arguments import Arguments
from paasd.model.nodes import LIVE_STATES
from paasd.model.records import Instance, Label, Lease, Node, Process
from paasd.state import ReadTx, Tx, operation

FREE: Final = ""
"""The `node_guid` of a lease that nobody has."""
UNSEEN: Final = -1
"""`renewals` of a lease given to what runs already: until its holder has renewed it, nothing enforces its end."""
SINGLETON_LABEL: Final = "paasd.io/singleton"
_INSTANCE: Final = "instance"


class HeldLease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease in the hands of a node."""

    slot: str
    epoch: int


def instance_slot(process_guid: str, index: int) -> str:
    """What the lease of an instance is called."""
    return f"{_INSTANCE}/{process_guid}/{index}"


def slot_instance(slot: str) -> tuple[str, int] | None:
    """Process guid and index of an instance's slot; None when the slot is something else's."""
    kind, _, rest = slot.partition("/")
    process_guid, _, index = rest.rpartition("/")
    return (process_guid, int(index)) if kind == _INSTANCE and index.isdigit() else None


def singleton_apps(tx: ReadTx) -> frozenset[str]:
    """Guids of the apps of which at most one instance may run, ever."""
    labels = tx.all(Label, resource_type="app", key=SINGLETON_LABEL, value="true")
    return frozenset(label.resource_guid for label in labels)


def is_singleton(tx: ReadTx, app_guid: str) -> bool:
    """Whether the app is labelled as one."""
    label = tx.get(Label, app_guid, SINGLETON_LABEL)
    return label is not None and label.value == "true"


def holds(lease: Lease | None, instance: Instance) -> bool:
    """Whether the lease is this instance's."""
    return lease is not None and lease.node_guid == instance.node_guid and lease.epoch == instance.epoch


def grant_lease(tx: Tx, slot: str, node_guid: str, *, epoch: int, duration_s: float, renewals: int = 0) -> Lease | None:
    """Give a lease that is free, under an epoch of at least `epoch` and above all before; None when somebody has it."""
    known = tx.get(Lease, slot)
    if known is None:
        return tx.insert(Lease(slot=slot, node_guid=node_guid, epoch=epoch, duration_s=duration_s, renewals=renewals))
    if known.node_guid != FREE:
        return None
    return tx.update(
        known, node_guid=node_guid, epoch=max(epoch, known.epoch + 1), duration_s=duration_s, renewals=renewals
    )


class LeaseRunning(Arguments):
    """Arguments of `lease_running`: instances that run without a lease, since their app became a singleton later."""

    instance_guids: list[str]
    duration_s: float


@operation("lease.running", version=1)
def lease_running(tx: Tx, args: LeaseRunning) -> int:
    """Give those on live nodes the lease of their slot, if there never was one; returns how many."""
    granted = 0
    for guid in args.instance_guids:
        instance = tx.get(Instance, guid)
        node = None if instance is None else tx.get(Node, instance.node_guid)
        if instance is None or node is None or node.state not in LIVE_STATES or instance.index != 0:
            continue
        slot = instance_slot(instance.process_guid, instance.index)
        if tx.get(Lease, slot) is None and is_singleton(tx, instance.app_guid):
            grant_lease(tx, slot, node.guid, epoch=instance.epoch, duration_s=args.duration_s, renewals=UNSEEN)
            granted += 1
    return granted


class ChangeLeases(Arguments):
    """Arguments of `renew_leases` and `release_leases`: what a node says of the leases that it holds."""

    node_guid: str
    held: list[HeldLease]


@operation("lease.renew", version=1)
def renew_leases(tx: Tx, args: ChangeLeases) -> list[HeldLease]:
    """Renew those that are still this node's under this epoch; returns them. The others are lost."""
    renewed: list[HeldLease] = []
    for held in args.held:
        lease = _held(tx, args.node_guid, held)
        if lease is not None:
            tx.update(lease, renewals=max(lease.renewals, 0) + 1)
            renewed.append(held)
    return renewed


@operation("lease.release", version=1)
def release_leases(tx: Tx, args: ChangeLeases) -> int:
    """Give leases back: nothing of what they were for runs any more. Returns how many were this node's."""
    released = 0
    for held in args.held:
        lease = _held(tx, args.node_guid, held)
        if lease is not None:
            tx.update(lease, node_guid=FREE)
            released += 1
    return released


def _held(tx: Tx, node_guid: str, held: HeldLease) -> Lease | None:
    lease = tx.get(Lease, held.slot)
    return lease if lease is not None and (lease.node_guid, lease.epoch) == (node_guid, held.epoch) else None


class ExpireLease(Arguments):
    """Arguments of `expire_lease`: the lease as it was when the wait for its end began."""

    slot: str
    node_guid: str
    epoch: int
    renewals: int


@operation("lease.expire", version=1)
def expire_lease(tx: Tx, args: ExpireLease) -> bool:
    """Take a lease away whose holder has not renewed it. False when it has, or has never begun to.

    While there is an instance in the slot, it is that instance's.
    """
    lease = tx.get(Lease, args.slot)
    seen = args.node_guid, args.epoch, args.renewals
    if lease is None or lease.node_guid == FREE or (lease.node_guid, lease.epoch, lease.renewals) != seen:
        return False
    of = slot_instance(args.slot)
    if lease.renewals == UNSEEN or (of is not None and tx.exists(Instance, process_guid=of[0], index=of[1])):
        return False
    tx.update(lease, node_guid=FREE)
    return True


class DropLeases(Arguments):
    """Arguments of `drop_leases`."""

    slots: list[str]


@operation("lease.drop", version=1)
def drop_leases(tx: Tx, args: DropLeases) -> int:
    """Delete leases of instances that need none: the process is gone, or its app is no singleton any more."""
    dropped = 0
    for slot in args.slots:
        of, lease = slot_instance(slot), tx.get(Lease, slot)
        if of is None or lease is None:
            continue
        process = tx.get(Process, of[0])
        if process is None or not is_singleton(tx, process.app_guid):
            tx.delete(lease)
            dropped += 1
    return dropped
