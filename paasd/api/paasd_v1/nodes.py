"""Nodes and join tokens, for administrators of the platform."""

from typing import Any

from paasd.actions import nodes as actions
from paasd.api.call import Call, Form, Reply, created, no_content
from paasd.api.query import QuerySpec
from paasd.api.table import Auth, Route, delete, get, post
from paasd.model import JoinToken, Node

ADMIN = "platform administrator"


class TokenForm(Form):
    """What the token allows."""

    role: str = "control"
    zone: str | None = None
    ttl_s: int = actions.TTL_S
    uses: int = 1


async def create_token(call: Call) -> Reply:
    """201 with a token by which machines join; it is shown this once."""
    form = await call.json(TokenForm)
    token = await actions.create_token(
        call.context, call.caller, role=form.role, zone=form.zone, ttl_s=form.ttl_s, uses=form.uses
    )
    return created(token)


async def list_tokens(call: Call) -> Reply:
    """Join tokens that are good for something, without their secrets."""
    return Reply(body={"tokens": [_token(one) for one in actions.list_tokens(call.context, call.caller)]})


async def delete_token(call: Call) -> Reply:
    """Nobody joins by it any more."""
    await actions.delete_token(call.context, call.caller, call.path["token"])
    return no_content()


async def list_nodes(call: Call) -> Reply:
    """Every machine of the platform, what it runs, and how it is."""
    return Reply(
        body={"nodes": [_node(call, node, count) for node, count in actions.list_nodes(call.context, call.caller)]}
    )


async def drain_node(call: Call) -> Reply:
    """Its instances move elsewhere, and it is given no more."""
    return _drained(call, await actions.drain_node(call.context, call.caller, call.path["node"]))


async def undrain_node(call: Call) -> Reply:
    """It is given instances again."""
    return _drained(call, await actions.undrain_node(call.context, call.caller, call.path["node"]))


async def declare_dead(call: Call) -> Reply:
    """What ran there starts elsewhere; somebody answers for it that the machine is off."""
    return _drained(call, await actions.declare_dead(call.context, call.caller, call.path["node"]))


async def show_node(call: Call) -> Reply:
    """One, and how far it is drained."""
    return _drained(call, actions.find_node(call.context, call.caller, call.path["node"]))


def _drained(call: Call, node: Node) -> Reply:
    progress = actions.drain_progress(call.context, node)
    draining = node.state == "DRAINING"
    return Reply(
        body={
            "guid": node.guid,
            "name": node.name,
            "state": node.state,
            "drained": draining and progress.drained,
            "progress": progress.in_words() if draining else "",
        }
    )


async def release_brake(call: Call) -> Reply:
    """Lost nodes are really lost: replace what ran there."""
    return Reply(body={"released": await actions.release_brake(call.context, call.caller)})


async def remove_node(call: Call) -> Reply:
    """It leaves the platform for good."""
    force = call.query.plain.get("force") == "true"
    await actions.remove_node(call.context, call.caller, call.path["node"], force=force)
    return no_content()


def _token(token: JoinToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "role": token.role,
        "zone": token.zone,
        "uses_left": token.uses_left,
        "expires_at": token.expires_at,
        "created_by": token.created_by,
    }


def _node(call: Call, node: Node, instances: int) -> dict[str, Any]:
    observed = call.context.observed
    fact = observed.nodes().get(node.guid)
    own = node.guid == call.context.node_guid
    about = observed.nodes().get(call.context.node_guid)
    offsets = {} if about is None else about.clock_offset_s
    reachable = "alive" if own or not node.address else observed.reachability(node.guid)
    return {
        "guid": node.guid,
        "name": node.name,
        "zone": node.zone,
        "role": node.role,
        "state": node.state,
        "reachability": reachable,
        "voter": node.voting == "VOTER",
        "voting": node.voting,
        "version": node.version or call.platform.version,
        "address": node.address,
        "memory_mb": node.memory_mb,
        "disk_mb": node.disk_mb,
        "instances": instances,
        "this": own,
        "clock_offset_s": None if own or reachable != "alive" else offsets.get(node.guid, 0.0),
        "certificate_ends_at": fact.certificate_ends_at or None if fact else None,
        "schema_limit": node.schema_limit or None,
        "applied_index": call.context.database.index if own else (fact.applied_index if fact else None),
    }


async def change_key(call: Call) -> Reply:
    """Begin to change a shared key; it goes on by itself."""
    return Reply(body={"id": await actions.change_key(call.context, call.caller, call.path["what"])})


async def list_key_changes(call: Call) -> Reply:
    """Changes of shared keys that are under way."""
    return Reply(body={"changes": actions.key_changes(call.context, call.caller)})


ROUTES: tuple[Route, ...] = (
    get("/paasd/v1/nodes", list_nodes, auth=Auth.BASIC, permission=ADMIN),
    delete("/paasd/v1/nodes/<node>", remove_node, QuerySpec(plain=("force",)), auth=Auth.BASIC, permission=ADMIN),
    get("/paasd/v1/nodes/<node>", show_node, auth=Auth.BASIC, permission=ADMIN),
    post("/paasd/v1/nodes/<node>/actions/drain", drain_node, auth=Auth.BASIC, permission=ADMIN),
    post("/paasd/v1/nodes/<node>/actions/undrain", undrain_node, auth=Auth.BASIC, permission=ADMIN),
    post("/paasd/v1/nodes/<node>/actions/declare-dead", declare_dead, auth=Auth.BASIC, permission=ADMIN),
    post("/paasd/v1/brake/actions/release", release_brake, auth=Auth.BASIC, permission=ADMIN),
    get("/paasd/v1/keys", list_key_changes, auth=Auth.BASIC, permission=ADMIN),
    post("/paasd/v1/keys/<what>/actions/change", change_key, auth=Auth.BASIC, permission=ADMIN),
    post("/paasd/v1/tokens", create_token, auth=Auth.BASIC, permission=ADMIN),
    get("/paasd/v1/tokens", list_tokens, auth=Auth.BASIC, permission=ADMIN),
    delete("/paasd/v1/tokens/<token>", delete_token, auth=Auth.BASIC, permission=ADMIN),
)
