"""Nodes: a machine says what it has when it starts."""

from typing import Any, Final

from paasd.errors import Unprocessable
from paasd.model.arguments import SYSTEM, Arguments
from paasd.model.auditing import difference
from paasd.model.events import record_event
from paasd.model.records import Node
from paasd.state import Tx, operation

LIVE_STATES: Final = ("READY", "DRAINING", "RETURNING")
"""Of members that take part: they may be witnesses, act, and keep what they run."""


class RegisterNode(Arguments):
    """Arguments of `register_node`."""

    guid: str
    name: str
    zone: str
    memory_mb: int
    disk_mb: int
    cpus: int


@operation("node.register", version=1)
def register_node(tx: Tx, args: RegisterNode) -> Node:
    """Insert the node, or bring its row up to date under the next incarnation.

    One that was dead is RETURNING, which it stays until it has proved steady; alone it is READY at once. Draining and
    removal are somebody's decisions, which a restart does not undo. Raises Unprocessable for one that was removed.
    """
    node = tx.get(Node, args.guid)
    if node is None:
        node = tx.insert(
            Node(
                guid=args.guid,
                name=args.name,
                zone=args.zone,
                memory_mb=args.memory_mb,
                disk_mb=args.disk_mb,
                cpus=args.cpus,
                incarnation=1,
            )
        )
        _event(tx, "platform.node.register", node, {})
        return node
    changed = tx.update(
        node,
        name=args.name,
        zone=args.zone,
        memory_mb=args.memory_mb,
        disk_mb=args.disk_mb,
        cpus=args.cpus,
        state=_state_after_start(tx, node),
        state_changed_at=tx.now if node.state == "DEAD" else node.state_changed_at,
        incarnation=node.incarnation + 1,
    )
    _event(tx, "platform.node.start", changed, difference(node, changed))
    return changed


def _state_after_start(tx: Tx, node: Node) -> str:
    if node.state == "REMOVED":
        raise Unprocessable(
            f"{node.name} was removed from the platform; join again with a new data directory and token"
        )
    if node.state == "JOINING":
        return "READY"
    if node.state != "DEAD":
        return node.state
    return "RETURNING" if tx.count(Node) > 1 else "READY"


class ReturnNode(Arguments):
    """Arguments of `return_node`; `incarnation` is the one that was declared dead."""

    guid: str
    incarnation: int


@operation("node.return", version=1)
def return_node(tx: Tx, args: ReturnNode) -> bool:
    """A node whose daemon never stopped finds itself declared dead: it is RETURNING under the next incarnation."""
    node = tx.get(Node, args.guid)
    if node is None or node.state != "DEAD" or node.incarnation != args.incarnation:
        return False
    changed = tx.update(node, state="RETURNING", state_changed_at=tx.now, incarnation=node.incarnation + 1)
    _event(tx, "platform.node.return", changed, difference(node, changed))
    return True


class SetNodeState(Arguments):
    """Arguments of `set_node_state`: READY, DRAINING or DEAD, decided about this incarnation."""

    guid: str
    incarnation: int
    state: str


@operation("node.set_state", version=1)
def set_node_state(tx: Tx, args: SetNodeState) -> bool:
    """False when the node has started anew since, or is gone."""
    node = tx.get(Node, args.guid)
    if node is None or node.incarnation != args.incarnation:
        return False
    changed = tx.update(node, state=args.state)
    _event(tx, "platform.node.state", changed, difference(node, changed))
    return True


def _event(tx: Tx, event_type: str, node: Node, data: dict[str, Any]) -> None:
    record_event(tx, event_type, SYSTEM, target_type="node", target_guid=node.guid, target_name=node.name, data=data)
