"""Nodes: a machine says what it has when it starts."""

from paasd.model.arguments import Arguments
from paasd.model.records import Node
from paasd.state import Tx, operation


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
    """Insert the node, or bring its row up to date under the next incarnation."""
    node = tx.get(Node, args.guid)
    if node is None:
        return tx.insert(
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
    return tx.update(
        node,
        name=args.name,
        zone=args.zone,
        memory_mb=args.memory_mb,
        disk_mb=args.disk_mb,
        cpus=args.cpus,
        state="READY",
        incarnation=node.incarnation + 1,
    )


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
    tx.update(node, state=args.state)
    return True
