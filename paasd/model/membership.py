"""How nodes become members: the cluster is opened once, tokens are made and used up, members say where they are."""

import hmac
from typing import Final

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import SYSTEM, Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.events import record_event
from paasd.model.nodes import LIVE_STATES
from paasd.model.records import Authority, GossipKey, JoinToken, Node
from paasd.model.settings import read_setting, set_setting
from paasd.state import Ne, ReadTx, Tx, operation

CLUSTER_ID: Final = "cluster_id"


def authority_context(guid: str) -> str:
    """What an authority's key is sealed for."""
    return f"authority/{guid}"


class OpenCluster(Arguments):
    """Arguments of `open_cluster`: the first node, the authorities and the first gossip key, secrets sealed."""

    cluster_id: str
    node_guid: str
    authority: Authority
    public: Authority
    gossip_key: GossipKey


@operation("cluster.open", version=1)
def open_cluster(tx: Tx, args: OpenCluster) -> str:
    """The cluster's id: this one, or that of an earlier opening, which then stays as it is."""
    known = read_setting(tx, CLUSTER_ID)
    if known:
        return known
    set_setting(tx, CLUSTER_ID, args.cluster_id)
    tx.insert(args.authority)
    if not tx.exists(Authority, purpose=args.public.purpose):  # a node that was alone for long may have changed it
        tx.insert(args.public)
    tx.insert(args.gossip_key)
    former = tx.need(Node, args.node_guid)
    node = tx.update(former, voting="VOTER")
    record_event(
        tx,
        "platform.cluster.open",
        SYSTEM,
        target_type="node",
        target_guid=node.guid,
        target_name=node.name,
        data={"cluster_id": args.cluster_id, **difference(former, node)},
    )
    return args.cluster_id


class Advertise(Arguments):
    """Arguments of `advertise_node`: where others reach a node, and what its paasd knows."""

    guid: str
    address: str
    peer_port: int
    tunnel_port: int
    etcd_client_port: int
    etcd_peer_port: int
    version: str
    schema_limit: int


WHERE: Final = ("address", "peer_port", "tunnel_port", "etcd_client_port", "etcd_peer_port")


@operation("node.advertise", version=1)
def advertise_node(tx: Tx, args: Advertise) -> bool:
    """False when the node has no row, or nothing is new. Raises Unprocessable for a worker that says it is elsewhere.

    Addresses of nodes are closed to tenants and routers connect to them, so a worker that was broken into could take
    any address from everybody. Where it is was looked into when somebody with a token let it join.
    """
    node = tx.get(Node, args.guid)
    if node is None:
        return False
    new = {name: getattr(args, name) for name in args.__struct_fields__ if name != "guid"}
    if all(getattr(node, name) == value for name, value in new.items()):
        return False
    if node.role == "worker" and any(getattr(node, name) != new[name] for name in WHERE):
        raise Unprocessable(
            f"{node.name} joined at {node.address}:{node.peer_port} and says that it is at {args.address}:"
            f"{args.peer_port}: a worker that has moved joins anew, with a new data directory and token"
        )
    tx.update(node, **new)
    return True


class CreateToken(Arguments):
    """Arguments of `create_token`; the secret stays with who asked. `expires_at` in unix seconds."""

    id: str
    secret_hash: str
    role: str
    zone: str | None = None
    uses: int = 1
    expires_at: int
    actor: Actor


@operation("join_token.create", version=1)
def create_token(tx: Tx, args: CreateToken) -> JoinToken:
    """Let so many nodes join until then. Forgets tokens that have expired."""
    for old in tx.all(JoinToken):
        if old.expires_at < tx.now_s:
            tx.delete(old)
    token = JoinToken(
        id=args.id,
        secret_hash=args.secret_hash,
        role=args.role,
        zone=args.zone,
        uses_left=args.uses,
        expires_at=args.expires_at,
        created_by=args.actor.name,
    )
    data = {"role": args.role, "zone": args.zone, "uses": args.uses, "expires_at": args.expires_at}
    record_event(
        tx,
        "audit.join_token.create",
        args.actor,
        target_type="join_token",
        target_guid=args.id,
        target_name=args.id,
        data=data,
    )
    return tx.insert(token)


class DeleteToken(Arguments):
    """Arguments of `delete_token`."""

    id: str
    actor: Actor


@operation("join_token.delete", version=1)
def delete_token(tx: Tx, args: DeleteToken) -> None:
    """Raises NotFound."""
    tx.delete(tx.need(JoinToken, args.id))
    record_event(
        tx, "audit.join_token.delete", args.actor, target_type="join_token", target_guid=args.id, target_name=args.id
    )


class AdmitMember(Arguments):
    """Arguments of `admit_member`: a node shows a token whose secret has this hash."""

    token_id: str
    secret_hash: str
    guid: str
    name: str
    zone: str
    memory_mb: int
    disk_mb: int
    cpus: int
    address: str
    peer_port: int
    tunnel_port: int
    etcd_client_port: int
    etcd_peer_port: int
    version: str
    schema_limit: int


def check_admission(tx: ReadTx, args: AdmitMember, now_s: float) -> JoinToken:
    """The token, if it lets this node in.

    Raises Unprocessable with the reason: an unknown, used up or expired token, a wrong secret, a zone, a name taken.
    """
    token = tx.get(JoinToken, args.token_id)
    if token is None or not hmac.compare_digest(token.secret_hash, args.secret_hash):
        raise Unprocessable(
            "the join token is not known here: it was deleted, it has expired long ago, or it is of another platform; "
            "`paasd token create` makes a new one"
        )
    if token.expires_at < now_s:
        raise Unprocessable("the join token has expired; `paasd token create` makes a new one")
    if args.guid not in token.used_by and token.uses_left <= 0:
        raise Unprocessable("the join token is used up; `paasd token create --uses N` makes one for several nodes")
    if token.zone is not None and args.zone != token.zone:
        raise Unprocessable(f"the join token is for zone {token.zone}, this node says {args.zone}; set [node] zone")
    if tx.exists(Node, Ne("guid", args.guid), Ne("state", "REMOVED"), name=args.name):
        raise Unprocessable(f"another node is called {args.name}; set another [node] name")
    node = tx.get(Node, args.guid)
    if node is not None and node.state == "REMOVED":
        raise Unprocessable("this node was removed from the platform; join with a new data directory")
    if node is not None and node.state != "JOINING":
        raise Unprocessable("this node has joined already; start it with `paasd serve`")
    return token


@operation("node.admit_member", version=1)
def admit_member(tx: Tx, args: AdmitMember) -> Node:
    """Take a use of the token and insert the node, JOINING until it starts. The same node may ask again.

    Raises Unprocessable, as `check_admission`.
    """
    token = check_admission(tx, args, tx.now_s)
    node = tx.get(Node, args.guid)
    if args.guid not in token.used_by:
        tx.update(token, uses_left=token.uses_left - 1, used_by=[*token.used_by, args.guid])
    fields = {name: getattr(args, name) for name in args.__struct_fields__ if name not in ("token_id", "secret_hash")}
    admitted = Node(**fields, role=token.role, state="JOINING", state_changed_at=tx.now)
    if node is not None:
        tx.delete(node)
    record_event(
        tx,
        "audit.node.join",
        SYSTEM,
        target_type="node",
        target_guid=args.guid,
        target_name=args.name,
        data={"token": args.token_id, "role": token.role, "zone": args.zone, "address": args.address},
    )
    return tx.insert(admitted)


class RemoveNode(Arguments):
    """Arguments of `remove_node`. With `force` also one that nobody drained."""

    guid: str
    force: bool = False
    actor: Actor


@operation("node.remove", version=1)
def remove_node(tx: Tx, args: RemoveNode) -> Node:
    """REMOVED for good: its certificate counts no more. Raises NotFound, and Unprocessable with what to do first."""
    node = tx.get(Node, args.guid)
    if node is None or node.state == "REMOVED":
        raise NotFound("Node")
    others = [other for other in members(tx) if other.guid != node.guid]
    if node.role == "control" and not any(other.role == "control" for other in others):
        raise Unprocessable(f"{node.name} is the last control node; without it there is no platform")
    if node.voting and node.state != "DEAD" and not args.force:
        raise Unprocessable(f"{node.name} votes; `paasd node drain {node.name}` hands its vote over first")
    _check_quorum(tx, node)
    if node.state not in ("DEAD", "DRAINING", "JOINING") and not args.force:
        raise Unprocessable(
            f"{node.name} is {node.state}; `paasd node drain {node.name}` first, or remove it with --force"
        )
    removed = tx.update(node, state="REMOVED", state_changed_at=tx.now)
    record_event(
        tx,
        "audit.node.remove",
        args.actor,
        target_type="node",
        target_guid=node.guid,
        target_name=node.name,
        data={"state": node.state, "force": args.force, **difference(node, removed)},
    )
    return removed


def _check_quorum(tx: Tx, node: Node) -> None:
    """Raise Unprocessable when too few voters would be left to agree, even to take the node's own vote away."""
    voters = [voter for voter in tx.all(Node) if voter.voting in ("VOTER", "LEAVING")]
    if node.guid not in [voter.guid for voter in voters] or node.state == "DEAD":
        return
    if len(voters) == 1:
        raise Unprocessable(f"{node.name} has the log alone; `paasd node drain {node.name}` hands it over first")
    alive = sum(voter.state in LIVE_STATES and voter.guid != node.guid for voter in voters)
    needed = len(voters) // 2 + 1
    if alive < needed:
        raise Unprocessable(
            f"{needed} of {len(voters)} votes are needed for every change, and without {node.name} {alive} would be "
            "left: bring a dead voter back first, or `docs/recovery.md` if they are lost for good"
        )


def members(tx: ReadTx) -> list[Node]:
    """Every node that has not been removed, by name."""
    return tx.all(Node, Ne("state", "REMOVED"), order=("name",))
