"""Dead or alive is decided by rows: what two witnesses say becomes an operation, checked where it takes effect."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import SYSTEM, Actor, Arguments, seconds_after
from paasd.model.auditing import difference
from paasd.model.brake import read_brake
from paasd.model.events import record_event
from paasd.model.nodes import LIVE_STATES
from paasd.model.records import AuditEvent, Node
from paasd.state import Ge, ReadTx, Tx, operation

DEAD_EVENT = "platform.node.dead"
FLAP_WINDOW_S = 3600.0
WITNESSES = 2


class Placed(Protocol):
    """What counts about a member here."""

    @property
    def zone(self) -> str: ...


def enough_witnesses(target: str, witnesses: Collection[str], live: Mapping[str, Placed]) -> bool:
    """Whether these may say that `target` is dead: two live members, one in another zone if another zone has any.

    `live` are all live members by guid, the target among them. With two members nobody ever may.
    """
    heard = {guid for guid in witnesses if guid in live and guid != target}
    if target not in live or len(heard) < WITNESSES:
        return False
    zone = live[target].zone
    others_exist = any(member.zone != zone for guid, member in live.items() if guid != target)
    return not others_exist or any(live[guid].zone != zone for guid in heard)


class DeclareDead(Arguments):
    """Arguments of `declare_dead`: the node, the incarnation that was watched, and who cannot reach it."""

    node_guid: str
    incarnation: int
    witnesses: list[str]


@operation("node.declare_dead", version=1)
def declare_dead(tx: Tx, args: DeclareDead) -> bool:
    """DEAD, so that what it ran is replaced. False when it is not live, has started anew since, the witnesses do not
    suffice, or the brake is on.
    """
    node = tx.get(Node, args.node_guid)
    if node is None or node.state not in LIVE_STATES or node.incarnation != args.incarnation:
        return False
    live = {member.guid: member for member in live_members(tx)}
    if read_brake(tx).engaged or not enough_witnesses(node.guid, args.witnesses, live):
        return False
    _die(tx, node, SYSTEM, {"witnesses": sorted(set(args.witnesses))})
    return True


class DeclareDeadByHand(Arguments):
    """Arguments of `declare_dead_by_hand`: somebody knows that it is off, and answers for it."""

    node_guid: str
    actor: Actor


@operation("node.declare_dead_by_hand", version=1)
def declare_dead_by_hand(tx: Tx, args: DeclareDeadByHand) -> Node:
    """DEAD without witnesses: the only way where there are two nodes. Raises NotFound, Unprocessable."""
    node = tx.get(Node, args.node_guid)
    if node is None:
        raise NotFound("Node")
    if node.state not in LIVE_STATES:
        raise Unprocessable(f"node {node.name} is {node.state} already")
    return _die(tx, node, args.actor, {})


def _die(tx: Tx, node: Node, actor: Actor, data: dict[str, object]) -> Node:
    former, node = node, tx.update(node, state="DEAD", state_changed_at=tx.now)
    data = {**data, "incarnation": node.incarnation, "was": former.state, **difference(former, node)}
    record_event(tx, DEAD_EVENT, actor, target_type="node", target_guid=node.guid, target_name=node.name, data=data)
    return node


class AdmitNode(Arguments):
    """Arguments of `admit_node`."""

    node_guid: str
    incarnation: int


@operation("node.admit", version=1)
def admit_node(tx: Tx, args: AdmitNode) -> bool:
    """READY again after the grace of a return; False when it is not RETURNING in this incarnation any more.

    One that was to be drained when it died is DRAINING again: its death was nobody's change of mind.
    """
    node = tx.get(Node, args.node_guid)
    if node is None or node.state != "RETURNING" or node.incarnation != args.incarnation:
        return False
    deaths = tx.all(AuditEvent, target_guid=node.guid, type=DEAD_EVENT, order=("-created_at",), limit=1)
    was = deaths[0].data.get("was") if deaths else None
    state = "DRAINING" if was == "DRAINING" else "READY"
    former, node = node, tx.update(node, state=state, state_changed_at=tx.now)
    record_event(
        tx,
        "platform.node.admit",
        SYSTEM,
        target_type="node",
        target_guid=node.guid,
        target_name=node.name,
        data={"state": state, **difference(former, node)},
    )
    return True


def live_members(tx: ReadTx) -> list[Node]:
    """Nodes that take part: all but those that are dead or removed."""
    return [node for node in tx.all(Node) if node.state in LIVE_STATES]


def recent_deaths(tx: ReadTx, node_guids: Iterable[str], now: str) -> dict[str, int]:
    """How often each of the nodes was declared dead within the last hour."""
    since = seconds_after(now, -FLAP_WINDOW_S)
    return {
        guid: tx.count(AuditEvent, Ge("created_at", since), target_guid=guid, type=DEAD_EVENT) for guid in node_guids
    }
