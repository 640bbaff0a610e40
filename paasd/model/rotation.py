"""Keys and authorities are changed step by step: each step waits until every node is ready for it.

An authority of any purpose: TRUSTED -> SIGNING -> FORMER -> RETIRED. A gossip key: KNOWN -> SENDING -> FORMER,
then it is gone. The host key of ssh goes the way of an authority: clients are told of the next one before it is shown.
One change of each kind at a time; who decides the steps is `paasd.membership.rotation`.
"""

from typing import Any, Final

from paasd.errors import Unprocessable
from paasd.model.arguments import SYSTEM, Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.events import record_event
from paasd.model.records import Authority, GossipKey, SshHostKey
from paasd.model.voting import ETCD_AUTHORITY
from paasd.pki import ends_at_s
from paasd.state import Ne, ReadTx, Tx, operation

NODES: Final = "nodes"
PUBLIC: Final = "public"
PURPOSES: Final = {
    NODES: "nodes' certificates",
    PUBLIC: "the platform's domains",
    ETCD_AUTHORITY: "etcd's certificates",
}
"""What authorities are for, and the words for it."""
HOST_KEY: Final = "ssh"
"""The purpose of rows that hold host keys of ssh: `certificate` is the public key, as in known_hosts."""
_ABSENT: Final = {
    NODES: "there is one node only; `paasd token create` makes the authority of nodes' certificates",
    PUBLIC: "the authority of the platform's domains is not known yet; try again in a moment",
    ETCD_AUTHORITY: "the log is on one node only: etcd, and its authority, come with the second vote",
    HOST_KEY: "there is no host key yet: no node has listened for ssh",
}
_ID_LENGTH: Final = 8


def trusts(authority_guid: str) -> str:
    """What a node says, among the things that it holds, when it believes an authority."""
    return f"trusts:{authority_guid[:_ID_LENGTH]}"


def shows(authority_guid: str) -> str:
    """What a node says when the certificate that it shows is of this authority."""
    return f"shows:{authority_guid[:_ID_LENGTH]}"


def believed(tx: ReadTx, purpose: str) -> list[Authority]:
    """The authorities of a purpose that count, oldest first."""
    return tx.all(Authority, Ne("state", "RETIRED"), purpose=purpose, order=("created_at", "guid"))


def authority_ends(tx: ReadTx) -> dict[str, float]:
    """When those that sign end, in unix seconds, by the words for what they certify."""
    signing = tx.all(Authority, state="SIGNING")
    return {PURPOSES[row.purpose]: ends_at_s(row.certificate.encode()) for row in signing if row.purpose in PURPOSES}


class BeginAuthority(Arguments):
    """Arguments of `begin_authority`: the next authority of its purpose, its key sealed. `present` is the one that
    signs without a row: that of the domains, while a node is alone; the first host key.
    """

    authority: Authority
    actor: Actor
    present: Authority | None = None


@operation("authority.begin", version=1)
def begin_authority(tx: Tx, args: BeginAuthority) -> Authority:
    """It shall be believed, too. Raises Unprocessable while another change is under way."""
    purpose = args.authority.purpose
    rows = believed(tx, purpose)
    if not rows and args.present is not None:
        rows = [tx.insert(args.present)]
    if not rows:
        raise Unprocessable(_ABSENT[purpose])
    if any(row.state in ("TRUSTED", "FORMER") for row in rows):
        named = "the host key of ssh" if purpose == HOST_KEY else f"the authority of {PURPOSES[purpose]}"
        raise Unprocessable(f"{named} is being changed already; `paasd keys status` shows how far")
    event = "platform.authority.begin" if args.actor == SYSTEM else "audit.authority.begin"
    _record(tx, event, args.actor, "authority", args.authority.guid, _about(args.authority))
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
    if row is None or row.state != args.before:
        return False
    match row.state:
        case "TRUSTED":
            for signing in tx.all(Authority, purpose=row.purpose, state="SIGNING"):
                tx.update(signing, state="FORMER")
            now = tx.update(row, state="SIGNING")
        case "FORMER":
            now = _retire(tx, row)
        case _:
            return False
    data = {**_about(row), **difference(row, now)}
    _record(tx, "platform.authority.advance", args.actor, "authority", row.guid, data)
    return True


class ReplaceHostKey(Arguments):
    """Arguments of `replace_host_key`: the key that counts at once, sealed; its state is SIGNING."""

    authority: Authority
    actor: Actor


@operation("ssh.replace_host_key", version=1)
def replace_host_key(tx: Tx, args: ReplaceHostKey) -> Authority:
    """All others lose their keys, also one that was announced: who had the one may have had the other."""
    for row in believed(tx, HOST_KEY):
        _retire(tx, row)
    tx.delete_all(SshHostKey)
    _record(tx, "audit.authority.replace", args.actor, "authority", args.authority.guid, _about(args.authority))
    return tx.insert(args.authority)


def _retire(tx: Tx, row: Authority) -> Authority:
    if row.purpose == HOST_KEY:
        tx.delete_all(SshHostKey)  # the first one also has a row of its own
    return tx.update(row, state="RETIRED", sealed_key="")


def _about(row: Authority) -> dict[str, Any]:
    """For the audit. A host key is told by what people see of it."""
    return {"purpose": row.purpose} | ({"public_key": row.certificate} if row.purpose == HOST_KEY else {})


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
            state = tx.update(row, state="SENDING").state
        case "FORMER":
            tx.delete(row)
            state = "gone"
        case _:
            return False
    data = {"before": {"state": args.before}, "after": {"state": state}}
    _record(tx, "platform.gossip_key.advance", args.actor, "gossip_key", row.id, data)
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
