"""Nodes and join tokens, for administrators of the platform."""

from typing import Annotated

from paasd.actions import nodes as actions
from paasd.api.answers import Answer
from paasd.api.call import Call, Form, Reply, created, no_content
from paasd.api.numbers import Number
from paasd.api.query import QuerySpec
from paasd.api.table import Auth, Route, delete, get, post
from paasd.api.whom import ADMIN, PLATFORM_READERS
from paasd.api.words import NODE_ROLES, NodeRole, NodeState, NodeVoting, said
from paasd.auth.host_keys import fingerprint, public_host_keys
from paasd.model import JoinToken, Node
from paasd.observed import Reachability


class TokenForm(Form):
    """What the token allows."""

    role: Annotated[str, said(*NODE_ROLES)] = "control"
    zone: str | None = None
    ttl_s: Number = actions.TTL_S
    uses: Number = 1


class JoinTokenMade(Answer):
    """A token by which machines join; `expires_at` in unix seconds."""

    token: str
    role: NodeRole
    zone: str | None
    uses: int
    expires_at: int


class JoinTokenShown(Answer):
    """A join token without its secret."""

    id: str
    role: NodeRole
    zone: str | None
    uses_left: int
    expires_at: int
    created_by: str


class JoinTokens(Answer):
    """All of them."""

    tokens: list[JoinTokenShown]


class NodeShown(Answer):
    """A machine of the platform, as this node knows it."""

    guid: str
    name: str
    zone: str
    role: NodeRole
    state: NodeState
    reachability: Reachability
    voter: bool
    voting: NodeVoting
    version: str
    address: str
    memory_mb: int
    disk_mb: int
    instances: int
    this: bool
    clock_offset_s: float | None
    certificate_ends_at: int | None
    schema_limit: int | None
    applied_index: int | None


class Nodes(Answer):
    """All of them."""

    nodes: list[NodeShown]


class Drained(Answer):
    """How far a node is drained."""

    guid: str
    name: str
    state: NodeState
    drained: bool
    progress: str


class Released(Answer):
    """Whether a brake was on."""

    released: bool


class Begun(Answer):
    """The change of a key that has begun."""

    id: str


class HostKeyShown(Answer):
    """A host key of ssh. The one that is `shown` counts; others are announced to clients that are signed in."""

    fingerprint: str
    public_key: str
    shown: bool


class KeyChanges(Answer):
    """Changes that are under way, in sentences; the host keys of ssh."""

    changes: list[str]
    ssh_host_keys: list[HostKeyShown]


async def create_token(call: Call) -> Reply[JoinTokenMade]:
    """201 with a token by which machines join; it is shown this once."""
    form = await call.json(TokenForm)
    token = await actions.create_token(
        call.context, call.caller, role=form.role, zone=form.zone, ttl_s=form.ttl_s, uses=form.uses
    )
    return created(JoinTokenMade(**token))


async def list_tokens(call: Call) -> Reply[JoinTokens]:
    """Join tokens that are good for something, without their secrets."""
    return Reply(body=JoinTokens(tokens=[_token(one) for one in actions.list_tokens(call.context, call.caller)]))


async def delete_token(call: Call) -> Reply[None]:
    """Nobody joins by it any more."""
    await actions.delete_token(call.context, call.caller, call.path["token"])
    return no_content()


async def list_nodes(call: Call) -> Reply[Nodes]:
    """Every machine of the platform, what it runs, and how it is."""
    found = actions.list_nodes(call.context, call.caller)
    return Reply(body=Nodes(nodes=[_node(call, node, count) for node, count in found]))


async def drain_node(call: Call) -> Reply[Drained]:
    """Its instances move elsewhere, and it is given no more."""
    return _drained(call, await actions.drain_node(call.context, call.caller, call.path["node"]))


async def undrain_node(call: Call) -> Reply[Drained]:
    """It is given instances again."""
    return _drained(call, await actions.undrain_node(call.context, call.caller, call.path["node"]))


async def declare_dead(call: Call) -> Reply[Drained]:
    """What ran there starts elsewhere; somebody answers for it that the machine is off."""
    return _drained(call, await actions.declare_dead(call.context, call.caller, call.path["node"]))


async def show_node(call: Call) -> Reply[Drained]:
    """One, and how far it is drained."""
    return _drained(call, actions.find_node(call.context, call.caller, call.path["node"]))


def _drained(call: Call, node: Node) -> Reply[Drained]:
    progress = actions.drain_progress(call.context, node)
    draining = node.state == "DRAINING"
    return Reply(
        body=Drained(
            guid=node.guid,
            name=node.name,
            state=node.state,
            drained=draining and progress.drained,
            progress=progress.in_words() if draining else "",
        )
    )


async def release_brake(call: Call) -> Reply[Released]:
    """Lost nodes are really lost: replace what ran there."""
    return Reply(body=Released(released=await actions.release_brake(call.context, call.caller)))


async def remove_node(call: Call) -> Reply[None]:
    """It leaves the platform for good."""
    force = call.query.plain.get("force") == "true"
    await actions.remove_node(call.context, call.caller, call.path["node"], force=force)
    return no_content()


def _token(token: JoinToken) -> JoinTokenShown:
    return JoinTokenShown(
        id=token.id,
        role=token.role,
        zone=token.zone,
        uses_left=token.uses_left,
        expires_at=token.expires_at,
        created_by=token.created_by,
    )


def _node(call: Call, node: Node, instances: int) -> NodeShown:
    observed = call.context.observed
    fact = observed.nodes().get(node.guid)
    own = node.guid == call.context.node_guid
    about = observed.nodes().get(call.context.node_guid)
    offsets = {} if about is None else about.clock_offset_s
    reachable = "alive" if own or not node.address else observed.reachability(node.guid)
    return NodeShown(
        guid=node.guid,
        name=node.name,
        zone=node.zone,
        role=node.role,
        state=node.state,
        reachability=reachable,
        voter=node.voting == "VOTER",
        voting=node.voting,
        version=node.version or call.platform.version,
        address=node.address,
        memory_mb=node.memory_mb,
        disk_mb=node.disk_mb,
        instances=instances,
        this=own,
        clock_offset_s=None if own or reachable != "alive" else offsets.get(node.guid, 0.0),
        certificate_ends_at=fact.certificate_ends_at or None if fact else None,
        schema_limit=node.schema_limit or None,
        applied_index=call.context.database.index if own else (fact.applied_index if fact else None),
    )


async def change_key(call: Call) -> Reply[Begun]:
    """Begin to change a shared key; it goes on by itself. The host key of ssh alone can count `at_once`."""
    at_once = call.query.plain.get("at_once") == "true"
    return Reply(body=Begun(id=await actions.change_key(call.context, call.caller, call.path["what"], at_once=at_once)))


async def list_key_changes(call: Call) -> Reply[KeyChanges]:
    """Changes of shared keys that are under way, and the host keys of ssh."""
    changes = actions.key_changes(call.context, call.caller)
    with call.context.database.read() as tx:
        keys = public_host_keys(tx)
    shown = [
        HostKeyShown(fingerprint=fingerprint(key), public_key=key, shown=not number) for number, key in enumerate(keys)
    ]
    return Reply(body=KeyChanges(changes=changes, ssh_host_keys=shown))


ROUTES: tuple[Route, ...] = (
    get("/paasd/v1/nodes", list_nodes, auth=Auth.BASIC, permission=PLATFORM_READERS),
    delete("/paasd/v1/nodes/<node>", remove_node, QuerySpec(plain=("force",)), auth=Auth.BASIC, permission=ADMIN),
    get("/paasd/v1/nodes/<node>", show_node, auth=Auth.BASIC, permission=ADMIN),
    post("/paasd/v1/nodes/<node>/actions/drain", drain_node, auth=Auth.BASIC, permission=ADMIN),
    post("/paasd/v1/nodes/<node>/actions/undrain", undrain_node, auth=Auth.BASIC, permission=ADMIN),
    post("/paasd/v1/nodes/<node>/actions/declare-dead", declare_dead, auth=Auth.BASIC, permission=ADMIN),
    post("/paasd/v1/brake/actions/release", release_brake, auth=Auth.BASIC, permission=ADMIN),
    get("/paasd/v1/keys", list_key_changes, auth=Auth.BASIC, permission=PLATFORM_READERS),
    post(
        "/paasd/v1/keys/<what>/actions/change",
        change_key,
        QuerySpec(plain=("at_once",)),
        auth=Auth.BASIC,
        permission=ADMIN,
    ),
    post("/paasd/v1/tokens", create_token, auth=Auth.BASIC, permission=ADMIN),
    get("/paasd/v1/tokens", list_tokens, auth=Auth.BASIC, permission=ADMIN),
    delete("/paasd/v1/tokens/<token>", delete_token, auth=Auth.BASIC, permission=ADMIN),
)
