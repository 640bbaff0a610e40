"""Nodes and who may join: platform administrators only."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from paasd.actions.context import Context, actor_of
from paasd.actions.host_keys import change_host_key
from paasd.actions.permissions import authorise_admin, authorise_to_read_all
from paasd.auth import Caller
from paasd.copies import Copies, kept_only_on
from paasd.errors import NotFound, Unavailable, Unprocessable
from paasd.membership import Membership
from paasd.membership.rotation import Rotation
from paasd.model import Instance, JoinToken, Node, brake, draining, liveness
from paasd.model import membership as model
from paasd.model.arguments import Actor
from paasd.model.retention import referenced_blobs
from paasd.model.rotation import HOST_KEY, NODES, PUBLIC
from paasd.model.voting import ETCD_AUTHORITY
from paasd.peer.interface import Role

ZONE = re.compile(r"[A-Za-z0-9._/-]{1,64}")
TTL_S = 3600
TTL_LIMIT_S = 30 * 86400
USES_LIMIT = 1000

CHANGES: Final[dict[str, Callable[[Rotation, Actor], Awaitable[str]]]] = {
    "authority": lambda rotation, actor: rotation.change_authority(NODES, actor),
    "domains": lambda rotation, actor: rotation.change_authority(PUBLIC, actor),
    "etcd": lambda rotation, actor: rotation.change_authority(ETCD_AUTHORITY, actor),
    "gossip": Rotation.change_gossip_key,
    "root": Rotation.change_root_key,
    "data": Rotation.change_data_key,
}
"""Of what all nodes share: how each is changed, once every node is ready for it."""


def _membership(context: Context) -> Membership:
    if context.membership is None:
        raise Unavailable("this node takes no others in")
    return context.membership


async def create_token(
    context: Context, caller: Caller, *, role: str, zone: str | None, ttl_s: int, uses: int
) -> dict[str, Any]:
    """The token itself, shown this once. The first one opens the cluster. Raises Forbidden, Unprocessable."""
    authorise_admin(caller)
    if role not in ("control", "worker"):
        raise Unprocessable(f"role is control or worker, not {role!r}")
    if not 60 <= ttl_s <= TTL_LIMIT_S:
        raise Unprocessable(f"a token lives 60 to {TTL_LIMIT_S} seconds, not {ttl_s}")
    if not 1 <= uses <= USES_LIMIT:
        raise Unprocessable(f"a token can be used 1 to {USES_LIMIT} times, not {uses}")
    if zone is not None and not ZONE.fullmatch(zone):
        raise Unprocessable(f"a zone is a label such as aws/eu-west-2a or dc1/rack4, not {zone[:80]!r}")
    membership = _membership(context)
    token, expires_at = await membership.make_token(cast(Role, role), zone, ttl_s, uses, actor_of(caller))
    return {"token": token, "role": role, "zone": zone, "uses": uses, "expires_at": expires_at}


def list_tokens(context: Context, caller: Caller) -> list[JoinToken]:
    """Those that can still be used, and those that have been. Raises Forbidden."""
    authorise_admin(caller)
    with context.database.read() as tx:
        return tx.all(JoinToken, order=("created_at",))


async def delete_token(context: Context, caller: Caller, token_id: str) -> None:
    """Nobody joins by it any more. Raises Forbidden, NotFound."""
    authorise_admin(caller)
    await context.database.write(model.delete_token, model.DeleteToken(id=token_id, actor=actor_of(caller)))


def list_nodes(context: Context, caller: Caller) -> list[tuple[Node, int]]:
    """Every member and how many instances it has. Raises Forbidden."""
    authorise_to_read_all(caller)
    with context.database.read() as tx:
        return [(node, tx.count(Instance, node_guid=node.guid)) for node in model.members(tx)]


def find_node(context: Context, caller: Caller, name: str) -> Node:
    """By name or guid. Raises Forbidden, NotFound."""
    authorise_admin(caller)
    with context.database.read() as tx:
        for node in model.members(tx):
            if name in (node.name, node.guid):
                return node
    raise NotFound("Node", f"there is no node {name!r}; `paasd members` lists them")


async def drain_node(context: Context, caller: Caller, name: str) -> Node:
    """Move what tenants run there elsewhere. Raises Forbidden, NotFound, Unprocessable."""
    node = find_node(context, caller, name)
    change = draining.DrainNode(node_guid=node.guid, actor=actor_of(caller))
    return await context.database.write(draining.drain_node, change)


async def undrain_node(context: Context, caller: Caller, name: str) -> Node:
    """Let it take instances again. Raises Forbidden, NotFound, Unprocessable."""
    node = find_node(context, caller, name)
    change = draining.DrainNode(node_guid=node.guid, actor=actor_of(caller))
    return await context.database.write(draining.undrain_node, change)


async def declare_dead(context: Context, caller: Caller, name: str) -> Node:
    """Replace what it ran: somebody knows that it is off. Raises Forbidden, NotFound, Unprocessable."""
    node = find_node(context, caller, name)
    if node.guid == context.node_guid:
        raise Unprocessable(f"{node.name} answers this call, so it is not dead; `paasd node drain` empties it")
    said = liveness.DeclareDeadByHand(node_guid=node.guid, actor=actor_of(caller))
    return await context.database.write(liveness.declare_dead_by_hand, said)


def drain_progress(context: Context, node: Node) -> draining.DrainProgress:
    """What is still on it."""
    with context.database.read() as tx:
        return draining.drain_progress(tx, node)


async def release_brake(context: Context, caller: Caller) -> bool:
    """Let dead nodes be replaced although many died at once; False when the brake was not on. Raises Forbidden."""
    authorise_admin(caller)
    release = brake.ReleaseBrake(by_operator=True, actor=actor_of(caller))
    return await context.database.write(brake.release_brake, release)


async def remove_node(context: Context, caller: Caller, name: str, *, force: bool) -> Node:
    """Take a node out for good. Raises Forbidden, NotFound, Unprocessable with what to do first."""
    node = find_node(context, caller, name)
    if not force:
        await _check_blobs(context, node)
    return await context.database.write(
        model.remove_node, model.RemoveNode(guid=node.guid, force=force, actor=actor_of(caller))
    )


async def _check_blobs(context: Context, node: Node) -> None:
    """Raise Unprocessable while the node has blobs that would be in too few zones without it."""
    copies = context.blobs.elsewhere
    if not isinstance(copies, Copies) or node.state == "DEAD":
        return
    with context.database.read() as tx:
        referenced = referenced_blobs(tx)
    if kept := await kept_only_on(copies, node.guid, referenced):
        raise Unprocessable(
            f"{len(kept)} blobs of {node.name} are not on enough other nodes yet. They are copied while it drains "
            f"(`paasd node drain {node.name}`): wait a little and try again, or remove it by force and lose them."
        )


async def change_key(context: Context, caller: Caller, what: str, *, at_once: bool = False) -> str:
    """Begin to change what all nodes share: one of `CHANGES`, or the host key of ssh; the id of the
    new one. Raises Forbidden, NotFound, Unprocessable, Unavailable.
    """
    if what == HOST_KEY:
        return await change_host_key(context, caller, at_once=at_once)
    authorise_admin(caller)
    if what not in CHANGES:
        raise NotFound("Key", f"there is no key {what!r} to change; there are {', '.join((*CHANGES, HOST_KEY))}")
    if at_once:
        raise Unprocessable("only the host key of ssh can be changed at once; others wait until every node is ready")
    return await CHANGES[what](_rotation(context), actor_of(caller))


def key_changes(context: Context, caller: Caller) -> list[str]:
    """Changes that are under way, in sentences. Raises Forbidden, Unprocessable, Unavailable."""
    authorise_to_read_all(caller)
    return [step.in_words() for step in _rotation(context).steps()]


def _rotation(context: Context) -> Rotation:
    membership = _membership(context)
    if membership.rotation is None:
        raise Unprocessable("a worker changes no keys; ask a control node")
    return membership.rotation
