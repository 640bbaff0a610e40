"""What carries rows out: scheduling, instances, builds, the removal of what is past its time, names for instances."""

import time
from functools import partial

import trio

from paasd.actions import Context
from paasd.copies import open_s3
from paasd.dns import NotYet, open_resolver
from paasd.node.routed import router_nodes
from paasd.node.start import Start
from paasd.peer import Peers
from paasd.reach import Names, NotReady, Reach, open_reach
from paasd.router import Router, leave_routers
from paasd.sandbox import AnySandbox
from paasd.sandbox.network import LINK_ADDRESS, Network
from paasd.scheduler import Acts, make_acts, open_housekeeping, open_liveness, open_scheduler
from paasd.stager import open_stager
from paasd.state import Database
from paasd.supervisor import Supervisor, open_supervisor
from paasd.unsealing import LocalUnsealing, RemoteUnsealing, Unsealing, controls_of, serve


async def start_scheduling(start: Start, context: Context) -> Acts:
    """Who of the nodes acts for what, as this node sees it."""
    database, observed = context.database, start.observed
    acts = make_acts(database, observed.unreachable, start.guid)
    await start.enter(open_scheduler(start.config, database, start.clock, sight=observed, acts=acts))
    await start.enter(
        open_liveness(start.config.liveness, database, observed, acts, node_guid=start.guid, clock=start.clock)
    )
    return acts


async def start_workers(
    start: Start, context: Context, sandbox: AnySandbox, peers: Peers, acts: Acts, api_url: str
) -> Supervisor:
    """The supervisor and the stager of this node. `api_url` is told to apps."""
    config, database = start.config, context.database
    unsealing: Unsealing
    if start.is_worker:
        unsealing = RemoteUnsealing(peers, controls_of(database, start.observed.unreachable))
    else:
        unsealing = LocalUnsealing(database, context.sealer)
        serve(peers, database, unsealing)
        keep_s = config.blobs.collect_after_s
        s3 = open_s3(config.s3, context.blobs, database, acts=acts, collect_after_s=keep_s, clock=start.clock)
        await start.enter(s3)
    supervisor: Supervisor = await start.enter(
        open_supervisor(
            config.supervisor,
            directory=start.directory / "supervisor",
            node_guid=start.guid,
            database=database,
            observed=start.observed,
            sandbox=sandbox,
            blobs=context.blobs,
            logs=context.logs,
            unsealing=unsealing,
            default_stack=config.sandbox.stack,
            api_url=api_url,
            clock=start.clock,
            leave=partial(_leave, start, context, peers),
        )
    )
    stager = await start.enter(
        open_stager(
            config,
            start.guid,
            database,
            sandbox,
            context.blobs,
            context.logs,
            unsealing,
            start.directory,
            api_url=api_url,
            clock=start.clock,
        )
    )
    await start.enter(
        open_housekeeping(config.retention, database, context.blobs, stager.referenced_blobs, start.clock, acts)
    )
    return supervisor


async def _leave(start: Start, context: Context, peers: Peers, instance_guid: str, epoch: int) -> None:
    """Before an instance is told to end: no router sends it requests any more. The own one alone is quick enough."""
    nodes = router_nodes(start, context.database)
    limits = start.config.supervisor
    if len(nodes) > 1:
        await leave_routers(peers, nodes, instance_guid, epoch, timeout_s=limits.leave_timeout_s)
    else:
        await trio.sleep(limits.drain_s)


async def open_calls(start: Start, database: Database, sandbox: AnySandbox, router: Router, names: Names) -> Reach:
    """What instances may reach, also of each other: those calls go through the router of this node."""
    network = sandbox.network
    if network is not None:
        await network.shared.set_doorway(router.open_doorway(LINK_ADDRESS))
    opening = open_reach(
        start.config.network, database, sandbox, names=names, directory=start.directory, node_guid=start.guid
    )
    reach: Reach = await start.enter(opening)
    return reach


async def resolve_names(start: Start, network: Network | None, names: Names) -> None:
    """Name service for instances, on the port of the daemon before, since look-ups during a restart still go there."""
    if network is None:
        return

    def lookup(address: str, name: str) -> tuple[str, ...] | None:
        try:
            return names.lookup(address, name)
        except NotReady as error:
            raise NotYet from error

    resolver = await start.enter(
        open_resolver(
            start.config.dns,
            lookup=lookup,
            is_instance=lambda address: network.by_address(address) is not None,
            holder_of=names.organization,
            learn=network.learn,
            clock=time.monotonic,
            packets_per_s=start.config.network.resolver_packets_per_s,
            port=network.resolver_port,
        )
    )
    await network.set_resolver(resolver.port)
