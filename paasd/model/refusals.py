"""Who was turned away at the doors is kept by each node in a chain of its own; its head comes into the log."""

from typing import Final

from paasd.model.arguments import SYSTEM, Arguments
from paasd.model.events import record_event
from paasd.model.records import Node
from paasd.state import Tx, operation

EVENT: Final = "platform.refusals"


class NoteRefusals(Arguments):
    """Arguments of `note_refusals`: how many records a node's chain has, and the hash of the newest."""

    node_guid: str
    count: int
    head: str


@operation("node.note_refusals", version=1)
def note_refusals(tx: Tx, args: NoteRefusals) -> bool:
    """Witness the head of a chain. False when the node has no row."""
    node = tx.get(Node, args.node_guid)
    if node is None:
        return False
    data = {"count": args.count, "head": args.head}
    record_event(tx, EVENT, SYSTEM, target_type="node", target_guid=node.guid, target_name=node.name, data=data)
    return True
