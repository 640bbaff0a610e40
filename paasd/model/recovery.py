"""What becomes of the rows when a node goes on without the others: after a restore, or when the quorum is lost."""

from typing import Final

import msgspec

from paasd.errors import Unprocessable
from paasd.model.arguments import SYSTEM, Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.brake import accept_nodes
from paasd.model.events import record_event
from paasd.model.membership import CLUSTER_ID
from paasd.model.nodes import LIVE_STATES
from paasd.model.records import Authority, GossipKey, JoinToken, Node, Setting
from paasd.model.rotation import NODES, PUBLIC, believed
from paasd.model.voting import ETCD_AUTHORITY
from paasd.state import Tx, operation

BETWEEN_NODES: Final = (NODES, PUBLIC, ETCD_AUTHORITY)


class NoteBackup(Arguments):
    """Arguments of `note_backup`: somebody takes everything away, the root key included."""

    node_guid: str
    position: int
    actor: Actor


@operation("platform.note_backup", version=1)
def note_backup(tx: Tx, args: NoteBackup) -> None:
    """Into the audit events."""
    data = {"entry": args.position}
    record_event(
        tx,
        "audit.platform.backup",
        args.actor,
        target_type="node",
        target_guid=args.node_guid,
        target_name="",
        data=data,
    )


class StartOver(Arguments):
    """Arguments of `start_over`: the restored database is to be the first node of a new cluster."""

    node_guid: str
    position: int


@operation("cluster.start_over", version=1)
def start_over(tx: Tx, args: StartOver) -> int:
    """No node of the former cluster is a member of this one, and nothing that it had lets it in; how many there were.

    Keys and certificates between nodes are forgotten: the first join token makes new ones, under a new cluster id.
    """
    known = tx.all(Node)
    for node in known:
        tx.update(node, state="REMOVED", voting="", state_changed_at=tx.now)
    for authority in tx.all(Authority):
        if authority.purpose in BETWEEN_NODES:
            tx.delete(authority)
    for key in tx.all(GossipKey):
        tx.delete(key)
    for token in tx.all(JoinToken):
        tx.delete(token)
    cluster = tx.get(Setting, CLUSTER_ID)
    if cluster is not None:
        tx.delete(cluster)
    accept_nodes(tx, [])
    record_event(
        tx,
        "platform.restore",
        SYSTEM,
        target_type="node",
        target_guid=args.node_guid,
        target_name="",
        data={
            "entry": args.position,
            "nodes": len(known),
            "before": {"state": {node.name: node.state for node in known}},
            "after": {"state": "REMOVED"},
        },
    )
    return len(known)


class Recover(Arguments):
    """Arguments of `recover_cluster`: the node that goes on, and those that did not answer it."""

    node_guid: str
    lost: list[str]


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """Names of nodes: those that have to join anew, and those whose apps start elsewhere until they are back."""

    removed: list[str]
    dead: list[str]


@operation("cluster.recover", version=1)
def recover_cluster(tx: Tx, args: Recover) -> Recovered:
    """This node is the only one that votes. The others that voted are REMOVED, because they may have entries of the
    former log that are not in this one; nodes that only followed are DEAD if they do not answer, and may return.

    Raises Unprocessable where the node cannot do that.
    """
    own = tx.get(Node, args.node_guid)
    if own is None or own.state == "REMOVED" or own.role != "control":
        raise Unprocessable("only a control node that is a member can go on alone; recover on another one")
    removed, dead = [], []
    for node in tx.all(Node):
        if node.guid == own.guid or node.state == "REMOVED":
            continue
        if node.voting:
            removed.append(tx.update(node, state="REMOVED", voting="", state_changed_at=tx.now))
        elif node.guid in args.lost and node.state in LIVE_STATES:
            dead.append(tx.update(node, state="DEAD", state_changed_at=tx.now))
    state = own.state if own.state in LIVE_STATES else "READY"
    alone = tx.update(own, voting="VOTER", state=state, state_changed_at=tx.now)
    for authority in believed(tx, ETCD_AUTHORITY):
        tx.update(authority, state="RETIRED")  # who is removed has its key
    accept_nodes(tx, [node.guid for node in dead])
    names = {"removed": [node.name for node in removed], "dead": [node.name for node in dead]}
    record_event(
        tx,
        "platform.recover",
        SYSTEM,
        target_type="node",
        target_guid=own.guid,
        target_name=own.name,
        data={**names, **difference(own, alone)},
    )
    return Recovered(removed=names["removed"], dead=names["dead"])
