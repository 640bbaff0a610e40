"""One node: all the parts, nested in the order in which they need each other, so that shutdown is the way back."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

import paasd
from paasd.actions import Context
from paasd.actions.audit import REFUSALS
from paasd.actions.audit_heads import HeadKeeper
from paasd.actions.context import SYSTEM_DOORS
from paasd.api.app import make_app
from paasd.api.platform import Platform
from paasd.api.routes import make_route_table
from paasd.api.server import Doors, open_server
from paasd.auth.opening import open_auth
from paasd.chained_file import ChainedFile
from paasd.config import Config
from paasd.membership import Book, MemberFiles, Membership, Removed, read_removal, remember_removal
from paasd.node.auditing import witness
from paasd.node.authorities import keep_certificates, make_certificates, start_rotation, what_is_held
from paasd.node.cluster import Cluster, open_cluster_parts
from paasd.node.engines import access_lines, make_context, make_membership, own_root_keys
from paasd.node.identity import ensure_admin, node_guid, prepare_directory, registered
from paasd.node.log import open_replica
from paasd.node.ports import check_tcp_ports
from paasd.node.routed import Routed
from paasd.node.ssh import open_ssh
from paasd.node.start import Start, Substitutes
from paasd.node.workers import open_calls, resolve_names, start_scheduling, start_workers
from paasd.peer import TlsPeers, open_peers
from paasd.reach import Names, Reach
from paasd.router import RouteFeed, Router, open_route_feed, open_router, serve_confirming
from paasd.router.certificates import Certificates
from paasd.sandbox import AnySandbox, open_sandbox
from paasd.ssh.door import SshDoor
from paasd.stager import Downloads
from paasd.state.sealing import Keyless, open_sealer
from paasd.supervisor import Supervisor

API_SOCKET = "api.sock"
SERVING_LIMIT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Node:
    """A running node, as tests and the main program see it."""

    config: Config
    directory: Path
    guid: str
    context: Context
    sandbox: AnySandbox
    supervisor: Supervisor
    router: Router
    certificates: Certificates
    membership: Membership
    cluster: Cluster
    doors: Doors
    ssh: SshDoor | None
    admin_password: str | None
    """Only when this start made the account."""

    @property
    def port_suffix(self) -> str:
        """What follows a host name in an https URL of this node."""
        return _suffix(self.router.https_port)

    def url(self, door: str) -> str:
        """The https URL of one of the platform's own doors, such as `api`."""
        return f"https://{door}.{self.config.domains.system}{self.port_suffix}"


@asynccontextmanager
async def open_node(
    config: Config,
    *,
    outlive: bool = True,
    clock: Callable[[], float] = time.time,
    substitutes: Substitutes | None = None,
) -> AsyncIterator[Node]:
    """A node that serves until the block ends.

    With `outlive`, as in production, instances and Envoy go on after the block and are found again by the next node on
    the same directory; without it (tests, embedded nodes) everything ends with it. Raises PaasdError naming the fix,
    and Removed where `serve_removed` is all that is left to do.
    """
    check_tcp_ports(config)
    directory = await trio.to_thread.run_sync(prepare_directory, Path(config.data))
    if (removal := read_removal(directory)) is not None:
        raise Removed(removal.in_words(directory))
    guid, files = node_guid(directory), MemberFiles(directory)
    async with AsyncExitStack() as stack:
        start = Start(
            config=config,
            directory=directory,
            guid=guid,
            clock=clock,
            outlive=outlive,
            substitutes=substitutes or Substitutes(),
            enter=stack.enter_async_context,
            files=files,
            book=Book(files, guid),
            refusals=ChainedFile(directory / REFUSALS, clock),
            heads=HeadKeeper(directory, clock),
        )
        yield await _open(start)


async def _open(start: Start) -> Node:
    """Every part, in order."""
    config, enter = start.config, start.enter
    start.run.mkdir(mode=0o700, exist_ok=True)
    # The sandbox comes first: it holds the lock that keeps a second daemon off this directory.
    sandbox: AnySandbox = await enter(_sandbox(start))
    names = Names()
    await resolve_names(start, sandbox.network, names)
    peers = await _peers(start)
    database, seat = await open_replica(start, peers, sandbox.holder_files)
    worker = start.is_worker
    root_keys = None if worker else await own_root_keys(start, database, peers)
    sealer = Keyless() if root_keys is None else await open_sealer(database, root_keys)
    membership = await make_membership(start, database, peers, None if worker else sealer, root_keys)
    opening = await enter(unless_removed(start, membership))
    certificates = await make_certificates(start, database, sealer, membership)
    routed = Routed(start, peers)
    context = await make_context(start, database, sealer, membership, routed)
    await registered(config, start.directory, database, start.guid, membership)
    issuer = f"https://login.{config.domains.system}"
    auth = await enter(open_auth(config.auth, database, sealer, issuer=issuer, clock=start.clock, signs=not worker))
    auth.on_refused = partial(start.refusals.add, "sign-in")
    await enter(going_on(witness, start, database))
    password = await ensure_admin(context, start.directory, auth.passwords)
    acts = await start_scheduling(start, context)
    router = await _router(start, context, sandbox, certificates)
    await enter(going_on(keep_certificates, database, sealer, membership, certificates, router))
    holds = what_is_held(database, membership, seat, certificates)
    cluster = await enter(open_cluster_parts(Cluster(start, context, membership, peers, router, seat, holds)))
    await start_rotation(start, database, sealer, root_keys, membership, peers, holds)
    api_url = f"https://api.{config.domains.system}{_suffix(router.https_port)}"
    reach: Reach = await open_calls(start, database, sandbox, router, names)
    supervisor = await start_workers(start, context, sandbox, peers, acts, api_url)
    downloads = Downloads(config.staging, sandbox, context.blobs, config.sandbox.stack).open
    platform = Platform(context, auth, config, paasd.__version__, https_port=router.https_port, downloads=downloads)
    app = make_app(platform, make_route_table())
    platform.ssh = ssh = await open_ssh(start, context, auth, sandbox, supervisor, peers)
    doors = await enter(open_server(app, config.api, start.run / API_SOCKET, on_drain=platform.streams.end))
    # Only now: the first table opens the router, and an instance that is missing from it is out of service.
    await supervisor.adopted()
    await cluster.settled()
    opened = await _feed(start, context, router, reach, doors)
    routed.open(opened, database, router)
    serve_confirming(peers, opened)
    await _served(router, opening)
    return Node(
        config=config,
        directory=start.directory,
        guid=start.guid,
        context=context,
        sandbox=sandbox,
        supervisor=supervisor,
        router=router,
        certificates=certificates,
        membership=membership,
        cluster=cluster,
        doors=doors,
        ssh=ssh,
        admin_password=password,
    )


async def _feed(start: Start, context: Context, router: Router, reach: Reach, doors: Doors) -> RouteFeed:
    """What keeps the router's table, from its first one on, which opens the router."""
    # A worker's own API has no keys: requests for the platform's doors go to a control node.
    own_door = None if start.is_worker else (doors.host, doors.port)
    system = dict.fromkeys((f"{door}.{start.config.domains.system}" for door in SYSTEM_DOORS), own_door)
    feed = open_route_feed(
        router,
        context.database,
        start.observed,
        system,
        node_guid=start.guid,
        unreachable=start.observed.unreachable,
        callees=reach.doors,
    )
    opened: RouteFeed = await start.enter(feed)
    reach.lead(opened.lead)
    return opened


@asynccontextmanager
async def going_on(task: Callable[..., Awaitable[None]], *arguments: Any) -> AsyncIterator[None]:
    """Run a task beside the block."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task, *arguments)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def unless_removed(start: Start, membership: Membership) -> AsyncIterator[trio.CancelScope]:
    """Raise Removed from the block, which may wait in vain for others, until the scope that it gets is cancelled."""

    async def give_up(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        with trio.CancelScope() as opening:
            task_status.started(opening)
            await membership.removed.wait()
            removal = read_removal(start.directory)
            raise Removed("" if removal is None else removal.in_words(start.directory))

    async with trio.open_nursery() as nursery:
        yield await nursery.start(give_up)


def _sandbox(start: Start) -> AbstractAsyncContextManager[AnySandbox]:
    if start.substitutes.open_sandbox is not None:
        return start.substitutes.open_sandbox(start.directory)
    config = start.config
    return open_sandbox(config.sandbox, start.directory, network=config.network, disk=config.disk, keep=start.outlive)


async def _peers(start: Start) -> TlsPeers:
    """Connections to others; only a member has an identity for them."""
    opening = open_peers(
        start.config.peer,
        start.guid,
        start.book.address_of,
        clock=start.clock,
        allowed=start.book.allowed,
        source=start.substitutes.source,
    )
    peers: TlsPeers = await start.enter(opening)
    if start.is_member:
        peers.on_removed = remember_removal(start.directory, start.clock)
        peers.identify(start.files.identity())
    return peers


async def _router(start: Start, context: Context, sandbox: AnySandbox, certificates: Certificates) -> Router:
    router: Router = await start.enter(
        open_router(
            start.config.router,
            start.directory,
            certificates,
            tunnels=start.config.tunnels,
            on_access=access_lines(context.logs),
            holder_cgroups=sandbox.holder_files,
            outlive=start.outlive,
            runtime=start.substitutes.runtime,
        )
    )
    return router


async def _served(router: Router, opening: trio.CancelScope) -> None:
    """The end of opening. Who is told that the node is ready may connect; a slow Envoy holds up nothing else."""
    with trio.move_on_after(SERVING_LIMIT_S):
        await router.settled()
    opening.cancel()


def _suffix(https_port: int) -> str:
    return "" if https_port == 443 else f":{https_port}"
