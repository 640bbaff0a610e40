"""Keys and authorities are changed step by step: each step waits until every node is ready for it.

An authority of nodes' certificates: TRUSTED -> SIGNING -> FORMER -> RETIRED. A gossip key: KNOWN -> SENDING -> FORMER,
then it is gone. One change of each kind at a time; who decides the steps is `paasd.membership.rotation`.
"""

from typing import Any, Final

from paasd.errors import Unprocessable
from paasd.model.arguments import SYSTEM, Actor, Arguments
from paasd.model.events import record_event
from paasd.model.records import Authority, GossipKey
from paasd.state import Tx, operation

NODES: Final = "nodes"


class BeginAuthority(Arguments):
    """Arguments of `begin_authority`: the next authority of nodes' certificates, its key sealed."""

    authority: Authority
    actor: Actor


@operation("authority.begin", version=1)
def begin_authority(tx: Tx, args: BeginAuthority) -> Authority:
    """Nodes shall believe it, too. Raises Unprocessable while another change is under way."""
    rows = tx.all(Authority, purpose=NODES)
    if not rows:
        raise Unprocessable("there is one node only; `paasd token create` makes the authority of nodes' certificates")
    if any(row.state in ("TRUSTED", "FORMER") for row in rows):
        raise Unprocessable("the authority of nodes' certificates is being changed already; `paasd keys` shows how far")
    _record(tx, "audit.authority.begin", args.actor, "authority", args.authority.guid)
    return tx.insert(args.authority)


class AdvanceAuthority(Arguments):
    """Arguments of `advance_authority`: one step, from what the row said when it was decided."""

    guid: str
    before: str
    actor: Actor = SYSTEM


@operation("authority.advance", version=1)
def advance_authority(tx: Tx, args: AdvanceAuthority) -> bool:
    """TRUSTED to SIGNING (the one that signed is FORMER then), or FORMER to RETIRED, which loses its key.

    False when the row says something else by now.
    """
    row = tx.get(Authority, args.guid)
    if row is None or row.state != args.before or row.purpose != NODES:
        return False
    match row.state:
        case "TRUSTED":
            for signing in tx.all(Authority, purpose=NODES, state="SIGNING"):
                tx.update(signing, state="FORMER")
            tx.update(row, state="SIGNING")
        case "FORMER":
            tx.update(row, state="RETIRED", sealed_key="")
        case _:
            return False
    _record(tx, "platform.authority.advance", args.actor, "authority", row.guid, {"before": args.before})
    return True


class BeginGossipKey(Arguments):
    """Arguments of `begin_gossip_key`; the key is sealed."""

    key: GossipKey
    actor: Actor


@operation("gossip_key.begin", version=1)
def begin_gossip_key(tx: Tx, args: BeginGossipKey) -> GossipKey:
    """Nodes shall open datagrams with it, too. Raises Unprocessable while another change is under way."""
    rows = tx.all(GossipKey)
    if not rows:
        raise Unprocessable("there is one node only; `paasd token create` makes the first gossip key")
    if len(rows) > 1:
        raise Unprocessable("the gossip key is being changed already; `paasd keys` shows how far")
    _record(tx, "audit.gossip_key.begin", args.actor, "gossip_key", args.key.id)
    return tx.insert(args.key)


class AdvanceGossipKey(Arguments):
    """Arguments of `advance_gossip_key`: one step, from what the row said when it was decided."""

    id: str
    before: str
    actor: Actor = SYSTEM


@operation("gossip_key.advance", version=1)
def advance_gossip_key(tx: Tx, args: AdvanceGossipKey) -> bool:
    """KNOWN to SENDING (the one that was is FORMER then), or FORMER to nothing. False when the row says otherwise."""
    row = tx.get(GossipKey, args.id)
    if row is None or row.state != args.before:
        return False
    match row.state:
        case "KNOWN":
            for sending in tx.all(GossipKey, state="SENDING"):
                tx.update(sending, state="FORMER")
            tx.update(row, state="SENDING")
        case "FORMER":
            tx.delete(row)
        case _:
            return False
    _record(tx, "platform.gossip_key.advance", args.actor, "gossip_key", row.id, {"before": args.before})
    return True


class NoteRotation(Arguments):
    """Arguments of `note_rotation`: which key was changed. The keys themselves are not rows, or no model's."""

    kind: str
    name: str
    actor: Actor


@operation("key.note_rotation", version=1)
def note_rotation(tx: Tx, args: NoteRotation) -> None:
    """Who changed the root key or the data key, for the audit."""
    _record(tx, f"audit.{args.kind}.change", args.actor, args.kind, args.name)


def _record(tx: Tx, event: str, actor: Actor, kind: str, name: str, data: dict[str, Any] | None = None) -> None:
    record_event(tx, event, actor, target_type=kind, target_guid=name, target_name=name, data=data)
