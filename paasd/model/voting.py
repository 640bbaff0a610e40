"""Who votes: the rows say how far a node has come on its way into etcd or out of it.

'' -> JOINING -> VOTER -> LEAVING -> ''. One node at a time is on its way, because etcd changes by one member at a time.
"""

from typing import Final, Literal

from paasd.model.arguments import SYSTEM, Arguments
from paasd.model.auditing import difference
from paasd.model.events import record_event
from paasd.model.nodes import LIVE_STATES
from paasd.model.records import Authority, Node
from paasd.state import In, Tx, operation

ETCD_AUTHORITY: Final = "etcd"
"""Purpose of the authority whose certificates only voters get: etcd lets in whoever shows one."""

Voting = Literal["", "JOINING", "VOTER", "LEAVING"]
UNDER_WAY: Final = ("JOINING", "LEAVING")
_WAYS: Final[dict[Voting, tuple[Voting, ...]]] = {
    "": ("JOINING",),
    "JOINING": ("VOTER", "LEAVING"),
    "VOTER": ("LEAVING",),
    "LEAVING": ("",),
}


class AddEtcdAuthority(Arguments):
    """Arguments of `add_etcd_authority`; its key is sealed."""

    authority: Authority


@operation("voting.add_authority", version=1)
def add_etcd_authority(tx: Tx, args: AddEtcdAuthority) -> Authority:
    """The authority of etcd: this one, or the one that there is."""
    known = tx.find(Authority, purpose=ETCD_AUTHORITY, state="SIGNING")
    if known is not None:
        return known
    made = tx.insert(args.authority)
    record_event(
        tx,
        "platform.authority.begin",
        SYSTEM,
        target_type="authority",
        target_guid=made.guid,
        target_name=ETCD_AUTHORITY,
    )
    return made


class OfferVote(Arguments):
    """Arguments of `offer_vote`: the version of the node's etcd, empty when it has none."""

    node_guid: str
    etcd_version: str


@operation("node.offer_vote", version=1)
def offer_vote(tx: Tx, args: OfferVote) -> bool:
    """A node says whether it could vote. False when the node has no row, or that is known."""
    node = tx.get(Node, args.node_guid)
    if node is None or node.etcd_version == args.etcd_version:
        return False
    tx.update(node, etcd_version=args.etcd_version)
    return True


class ChangeVote(Arguments):
    """Arguments of `change_vote`: one step, from what the row said when it was decided."""

    node_guid: str
    before: Voting
    after: Voting


@operation("node.change_vote", version=1)
def change_vote(tx: Tx, args: ChangeVote) -> bool:
    """Go one step. False when the node is not there any more, another is on its way, or it is no step that there is.

    The last voter cannot leave, and only a live control node may join.
    """
    node = tx.get(Node, args.node_guid)
    if node is None or node.voting != args.before or args.after not in _WAYS[args.before]:
        return False
    begins = args.before not in UNDER_WAY
    if begins and tx.exists(Node, In("voting", UNDER_WAY)):
        return False
    if args.after == "JOINING" and not (node.state in LIVE_STATES and node.role == "control" and node.address):
        return False
    if args.before == "VOTER" and tx.count(Node, voting="VOTER") == 1:
        return False
    former, node = node, tx.update(node, voting=args.after)
    if args.after in ("VOTER", ""):
        event = "platform.node.vote" if args.after else "platform.node.unvote"
        data = difference(former, node)
        record_event(tx, event, SYSTEM, target_type="node", target_guid=node.guid, target_name=node.name, data=data)
    return True
