"""Draining a node: everything of tenants leaves it, first started elsewhere, then stopped here."""

import msgspec

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.brake import read_brake
from paasd.model.events import record_event
from paasd.model.records import Build, DropletUpload, Instance, Node, Task
from paasd.model.reserving import GOING_ON
from paasd.state import ReadTx, Tx, operation


class DrainNode(Arguments):
    """Arguments of `drain_node` and `undrain_node`."""

    node_guid: str
    actor: Actor


@operation("node.drain", version=1)
def drain_node(tx: Tx, args: DrainNode) -> Node:
    """DRAINING: it takes nothing new. Raises NotFound, or Unprocessable when it is dead or the brake is on."""
    node = _need_node(tx, args.node_guid)
    if node.state == "DRAINING":
        return node
    if node.state not in ("READY", "RETURNING"):
        raise Unprocessable(f"node {node.name} is {node.state}; what it ran is replaced anyway")
    if read_brake(tx).engaged:
        raise Unprocessable(
            "The mass-failure brake is on, so nothing is moved; `paasd status` says why and `paasd node release-brake` "
            "ends it"
        )
    return _change(tx, node, "DRAINING", "platform.node.drain", args.actor)


@operation("node.undrain", version=1)
def undrain_node(tx: Tx, args: DrainNode) -> Node:
    """READY again; what has left stays where it is now. Raises NotFound, or Unprocessable when it does not drain."""
    node = _need_node(tx, args.node_guid)
    if node.state == "READY":
        return node
    if node.state != "DRAINING":
        raise Unprocessable(f"node {node.name} is {node.state}, not DRAINING")
    return _change(tx, node, "READY", "platform.node.undrain", args.actor)


def _need_node(tx: Tx, guid: str) -> Node:
    node = tx.get(Node, guid)
    if node is None or node.state == "REMOVED":
        raise NotFound("Node")
    return node


def _change(tx: Tx, node: Node, state: str, event: str, actor: Actor) -> Node:
    former, node = node, tx.update(node, state=state, state_changed_at=tx.now)
    data = difference(former, node)
    record_event(tx, event, actor, target_type="node", target_guid=node.guid, target_name=node.name, data=data)
    return node


class DrainProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What is still on a draining node. `waiting` of the `instances` have no successor elsewhere yet."""

    instances: int
    waiting: int
    builds: int
    uploads: int
    voting: bool
    tasks: int = 0

    @property
    def drained(self) -> bool:
        """Whether the node may be switched off."""
        return not (self.instances or self.builds or self.uploads or self.tasks or self.voting)

    def in_words(self) -> str:
        """What the command line and `paasd status` show."""
        if self.drained:
            return "drained: nothing of tenants runs on it any more"
        parts = [
            (self.instances, f"{_count(self.instances, 'instance')} to move"),
            (self.waiting, f"{self.waiting} of them without room elsewhere yet"),
            (self.tasks, f"{_count(self.tasks, 'task')} to end"),
            (self.builds, f"{_count(self.builds, 'build')} to finish"),
            (self.uploads, f"{_count(self.uploads, 'uploaded droplet')} to take in"),
            (self.voting, "its vote to hand over"),
        ]
        return "draining: " + ", ".join(text for wanted, text in parts if wanted)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def drain_progress(tx: ReadTx, node: Node) -> DrainProgress:
    """What of tenants is on the node by its rows."""
    here = tx.all(Instance, node_guid=node.guid)
    newest: dict[tuple[str, int], int] = {}
    for process_guid in {instance.process_guid for instance in here}:
        for row in tx.all(Instance, process_guid=process_guid):
            slot = row.process_guid, row.index
            newest[slot] = max(newest.get(slot, 0), row.epoch)
    return DrainProgress(
        instances=len(here),
        waiting=sum(1 for one in here if newest[one.process_guid, one.index] == one.epoch),
        builds=tx.count(Build, node_guid=node.guid, state="STAGING"),
        uploads=tx.count(DropletUpload, node_guid=node.guid),
        tasks=tx.count(Task, GOING_ON, node_guid=node.guid),
        voting=node.voting not in ("", "LEAVING") and tx.count(Node, voting="VOTER") > 1,
    )
