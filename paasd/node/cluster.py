"""The parts that a node has only as a member of a cluster: they open when it is one, at its start or while it runs."""

import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from random import Random, SystemRandom
from typing import Final

import psutil
import structlog
import trio

import paasd
from paasd.actions import Context
from paasd.copies import open_copies
from paasd.errors import PaasdError
from paasd.gossip import About, Gossip, Member, RingKey, open_gossip
from paasd.gossip.boot import store_boot, take_boot
from paasd.logs import log_nodes_of, open_other_nodes
from paasd.membership import SKEW_LIMIT_S, MemberFile, Membership
from paasd.model import Instance
from paasd.node.log import voters_of
from paasd.node.start import Start
from paasd.observed import InstanceFact
from paasd.peer import TlsPeers
from paasd.router import Router
from paasd.router.tunnels import NodeIdentity
from paasd.state import Database
from paasd.state.log import open_feed_log
from paasd.voting import Seat, open_voting

RETRY_S: Final = 2.0
HEAR_LIMIT_S: Final = 2.0
HEAR_FROM: Final = 3
BUSY_PORTS: Final = 16
"""So many of them are told."""
log = structlog.get_logger(__name__)


class Cluster:
    """This node among others, once it is. `ready` is set when everything of it is open."""

    def __init__(
        self,
        start: Start,
        context: Context,
        membership: Membership,
        peers: TlsPeers,
        router: Router,
        seat: Seat,
        holds: Callable[[], tuple[str, ...]],
    ) -> None:
        self.ready = trio.Event()
        self.gossip: Gossip | None = None
        self._config = start.config
        self._source = start.substitutes.source
        self._directory = start.directory
        self._context = context
        self._membership = membership
        self._peers = peers
        self._router = router
        self._seat = seat
        self._holds = holds
        self._shares_log = start.substitutes.log is not None
        self._adopted = False

    async def settled(self) -> None:
        """What runs here has been found again; what is not mentioned is gone. Returns when others have been heard."""
        self._adopted = True
        if self.gossip is not None:
            self.gossip.settled()
            await self._hear_others(self.gossip)

    async def _hear_others(self, gossip: Gossip) -> None:
        """What runs elsewhere, as the first of a few other nodes tells it; for a while.

        Before the first table of routes: a router that outlived the daemon still sends requests to all of it.
        """
        others = [member.guid for member in self._members() if member.guid != self._peers.guid]
        with trio.move_on_after(HEAR_LIMIT_S):
            async with trio.open_nursery() as nursery:

                async def ask(guid: str) -> None:
                    if await gossip.compare(guid):
                        nursery.cancel_scope.cancel()

                for guid in SystemRandom().sample(others, min(HEAR_FROM, len(others))):
                    nursery.start_soon(ask, guid)

    async def run(self) -> None:
        """Wait until this node is a member, open what members have, and follow who the others are. For ever."""
        await self._membership.opened.wait()
        member = self._membership.member
        observed, database = self._context.observed, self._context.database
        boot = take_boot(self._directory, SystemRandom())
        observed.believe(placed_by_rows(database))
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            self.gossip = await enter(
                open_gossip(
                    self._config.gossip,
                    guid=member.guid,
                    zone=member.zone,
                    boot=boot,
                    cluster=member.cluster_id,
                    members=self._members(),
                    keys=await self._keys(),
                    observed=observed,
                    peers=self._peers,
                    random=Random(secrets.randbits(64)),
                    stream=secrets.token_bytes(12),
                    listen=self._config.cluster.listen,
                    port=member.ports.peer,
                    about=self._about,
                    on_boot=lambda higher: store_boot(self._directory, higher),
                    wall=time.time,
                )
            )
            if self._adopted:
                self.gossip.settled()
            await enter(
                open_copies(
                    self._config.copies, self._context.blobs, self._peers, database, unreachable=observed.unreachable
                )
            )
            asks = member.role == "control"
            others = log_nodes_of(database, member.guid, observed.unreachable)
            await enter(open_other_nodes(self._context.logs, self._peers, others, asks=asks))
            listen, source = self._config.cluster.listen, self._source
            self._router.open_tunnels(self._identity(), listen, member.ports.tunnel, source=source)
            self._membership.on_renewed = lambda: self._router.renew_identity(self._identity())
            if asks and not self._shares_log:
                await enter(self._votes(member))
            self.ready.set()
            await self._follow_rows()

    def _votes(self, member: MemberFile) -> AbstractAsyncContextManager[None]:
        voters = voters_of(self._membership.book)
        return open_voting(
            self._seat,
            self._context.database,
            self._context.sealer,
            listen=self._config.cluster.listen,
            open_feed=lambda identity: open_feed_log(self._peers, voters, zone=member.zone, follows=identity),
            unreachable=self._context.observed.unreachable,
            unfit=self._far_off,
            round_trip=self._slowest_voter_s,
            clock=self._context.clock,
        )

    def _slowest_voter_s(self) -> float | None:
        """The longest mean round trip to another voter; None before there is one."""
        assert self.gossip is not None
        others = [place.guid for place in self._membership.book.voters() if place.guid != self._peers.guid]
        trips = [self.gossip.swim.mean_round_trip_s(guid) for guid in others]
        return max((trip for trip in trips if trip is not None), default=None)

    def _far_off(self) -> frozenset[str]:
        """Nodes whose clock is too wrong for a vote, as this one measures it."""
        own = self._context.observed.nodes().get(self._peers.guid)
        offsets = {} if own is None else own.clock_offset_s
        return frozenset(guid for guid, offset_s in offsets.items() if abs(offset_s) > SKEW_LIMIT_S)

    async def _keys(self) -> list[RingKey]:
        while True:
            try:
                ring = await self._membership.gossip_keys()
            except PaasdError as error:
                log.warning("no gossip keys yet", reason=error.detail)
                await trio.sleep(RETRY_S)
            else:
                return [RingKey(id=key.id, secret=key.key, sending=key.sending) for key in ring]

    def _members(self) -> list[Member]:
        return [
            Member(guid=place.guid, zone=place.zone, address=place.address, port=place.peer_port)
            for place in self._membership.book.places()
        ]

    def _about(self) -> About:
        cpus = os.cpu_count() or 1
        return About(
            version=paasd.__version__,
            applied_index=self._context.database.index,
            load=os.getloadavg()[0] / cpus,
            holds=self._holds(),
            certificate_ends_at=int(self._context.clock() + (self._membership.certificate_left_s() or 0.0)),
            disk_free_mb=psutil.disk_usage(str(self._directory)).free >> 20,
            busy_ports=self._router.taken_ports[:BUSY_PORTS],
        )

    def _identity(self) -> NodeIdentity:
        member, files = self._membership.member, self._membership.files
        return NodeIdentity(
            prefix=f"spiffe://paasd/{member.cluster_id}/node/",
            pair=files.pair(),
            authorities=files.authorities(),
        )

    async def _follow_rows(self) -> None:
        assert self.gossip is not None
        await self._advertise()
        async with self._context.database.watch("nodes", "gossip_keys", "instances") as changes:
            while True:
                await changes.wait()
                whole = changes.resync
                touched = changes.take()
                tables = {table for table, _ in touched}
                if whole or "nodes" in tables:
                    await self.gossip.set_members(self._members())
                if whole or "gossip_keys" in tables:
                    self.gossip.set_keys(await self._keys())
                self._context.observed.recheck(None if whole else moved(touched))

    async def _advertise(self) -> None:
        while True:
            try:
                await self._membership.advertise()
                return
            except PaasdError as error:
                log.warning("this node's row is not up to date yet", reason=error.detail)
                await trio.sleep(RETRY_S)


def placed_by_rows(database: Database) -> Callable[[InstanceFact], bool]:
    """Whether a row puts an instance on the node that speaks of it, in that epoch."""

    def placed(fact: InstanceFact) -> bool:
        with database.read() as tx:
            row = tx.get(Instance, fact.instance_guid)
        return row is not None and row.node_guid == fact.node_guid and row.epoch == fact.epoch

    return placed


def moved(touched: Iterable[tuple[str, object]]) -> list[str]:
    """The instances whose rows were touched."""
    return [str(key) for table, key in touched if table == "instances"]


@asynccontextmanager
async def open_cluster_parts(cluster: Cluster) -> AsyncIterator[Cluster]:
    """Run until the block ends. A node that is a member already waits here until its parts are open."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.run)
        if cluster._membership.opened.is_set():
            await cluster.ready.wait()
        try:
            yield cluster
        finally:
            nursery.cancel_scope.cancel()
