"""One daemon of a simulated platform: the real parts, put together as `paasd/node` does, on a simulated machine.

Real are the etcd client and its log or the feed that follows it, database, forwarding, snapshots and trimming, gossip
with sealed datagrams, observed records and their comparison, scheduler, liveness, leases, supervisor and lifecycle of
instances, and the route feed. Simulated are the machine (`machine.py`), the network (`fabric.py`), etcd (`etcd.py`)
and Envoy, of which only what it was told last is kept.
"""

import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import trio

from paasd.config import Config
from paasd.etcd import open_client
from paasd.gossip import About, Gossip, Member, RingKey, open_gossip
from paasd.gossip.boot import store_boot, take_boot
from paasd.model import Instance, Node
from paasd.model.liveness import live_members
from paasd.model.nodes import LIVE_STATES
from paasd.model.ownership import owner_of
from paasd.node.cluster import moved, placed_by_rows
from paasd.observed import NodeFact, Observed
from paasd.peer import MemoryPeers
from paasd.router import RouteFeed, leave_routers, open_route_feed, serve_confirming
from paasd.router.records import RouteEntry, RouteTable
from paasd.scheduler import make_acts, open_liveness, open_scheduler
from paasd.state import Database, In, open_database
from paasd.state.log import Voter, open_feed_log
from paasd.state.log.etcd import open_etcd_log
from paasd.state.replication import Fetching, open_replication
from paasd.supervisor import Supervisor, open_supervisor
from paasd.unsealing import Unsealed
from tests.simulation.joint.etcd import EtcdCluster
from tests.simulation.joint.fabric import Fabric, FabricNetwork, Socket, address_of
from tests.simulation.joint.machine import Machine, Sandbox, Silence

LOG = "joint"
_KEY = RingKey(id="k", secret=b"k" * 32, sending=True)
_TLS = ssl.create_default_context()


class Envoy:
    """In place of `paasd.router.Router`: what was published last, by host."""

    def __init__(self) -> None:
        self.hosts: dict[str, tuple[RouteEntry, ...]] = {}
        self.published = 0

    def publish(self, table: RouteTable) -> None:
        self.hosts = {}
        for entry in table.routes:
            self.hosts[entry.host] = (*self.hosts.get(entry.host, ()), entry)
        self.published += 1

    def publish_hosts(self, hosts: Mapping[str, tuple[RouteEntry, ...]]) -> None:
        self.hosts.update(hosts)
        self.published += 1

    def publish_links(self, _links: Any) -> None:
        """Tunnels are not simulated."""

    def publish_doors(self, _doors: Any) -> None:
        """Nor are calls between apps."""

    def publish_names(self, _domains: Any, _system: Any) -> None:
        """Nor is the platform's own door."""

    async def settled(self) -> None:
        await trio.lowlevel.checkpoint()


class Unkeyed:
    """In place of who holds the keys: apps have no secrets here."""

    async def instance(self, _guid: str, _epoch: int) -> Unsealed:
        await trio.lowlevel.checkpoint()
        return Unsealed()

    build = instance


class NoBlobs:
    """In place of blobs: droplets have no layers here."""


class Witnessing(Observed):
    """The real store; what the node says of others is noted on the way."""

    def __init__(self, daemon: "Daemon") -> None:
        super().__init__()
        self._daemon = daemon

    def put_about(self, about: NodeFact) -> None:
        self._daemon.testified[trio.current_time()] = about.unreachable
        super().put_about(about)


class Daemon:
    """`run` lives until it is cancelled, which is its death; the machine and its containers live on."""

    def __init__(
        self,
        machine: Machine,
        config: Config,
        fabric: Fabric,
        network: FabricNetwork,
        etcd: EtcdCluster,
        zones: Mapping[str, str],
    ) -> None:
        self.machine = machine
        self.guid = machine.guid
        self.envoy = Envoy()
        self.observed: Observed = Witnessing(self)
        self.testified: dict[float, tuple[str, ...]] = {}
        self.ready = trio.Event()
        self.ended = trio.Event()
        self.scope = trio.CancelScope()
        self.database: Database
        self.gossip: Gossip
        self.supervisor: Supervisor
        self.feed: RouteFeed
        self._config = config
        self._fabric = fabric
        self._network = network
        self._etcd = etcd
        self._zones = zones
        self._random = Random(f"daemon {fabric.random.getrandbits(64)}")

    async def run(self) -> None:
        with self.scope:
            async with AsyncExitStack() as stack:
                peers = self._network.add(self.guid)
                stack.callback(self._leave_network, peers)
                await self._open_state(stack, peers)
                await self._open_cluster(stack, peers)
                await self._open_work(stack, peers)
                self.ready.set()
                await trio.sleep_forever()

    def _leave_network(self, peers: MemoryPeers) -> None:
        if self._network.peers.get(self.guid) is peers:
            self._network.remove(self.guid)

    def _voters(self) -> list[Voter]:
        return [Voter(guid, self._zones[guid]) for guid in self._etcd.members]

    async def _open_state(self, stack: AsyncExitStack, peers: MemoryPeers) -> None:
        machine, enter = self.machine, stack.enter_async_context
        zone = self._zones[self.guid]
        if self.guid in self._etcd.members:
            order = sorted(self._etcd.members, key=lambda one: one != self.guid)
            client = await enter(
                open_client(
                    lambda: [(one, 2379) for one in order],
                    lambda: _TLS,
                    connect=self._etcd.connect_from(self.guid),
                )
            )
            log: Any = await enter(open_etcd_log(client, LOG))
        else:
            log = await enter(open_feed_log(peers, self._voters, zone=zone))
        fetching = Fetching(peers, self._voters, machine.directory, machine.on_disk, zone=zone)
        self.database = await enter(
            open_database(
                machine.directory,
                self._config.state,
                log=log,
                fetch=fetching.fetch,
                node=self.guid,
                clock=machine.wall_s,
                random=self._random,
                runner=machine.on_disk,
                sync=False,
            )
        )
        await enter(
            open_replication(
                self.database,
                peers,
                self._config.state,
                voters=self._voters,
                hint=self._hint,
                zone=zone,
                progress=self._progress,
                run=machine.on_disk,
                random=self._random,
                clock=machine.wall_s,
            )
        )

    def _hint(self) -> str | None:
        gone = self.observed.unreachable()
        return owner_of("writes", [one for one in self._etcd.members if one not in gone] or self._etcd.members)

    def _progress(self) -> Mapping[str, int | None]:
        with self.database.read() as tx:
            live = [node.guid for node in tx.all(Node, In("state", LIVE_STATES))]
        told = self.observed.nodes()
        return {guid: told[guid].applied_index if guid in told else None for guid in live if guid != self.guid}

    async def _open_cluster(self, stack: AsyncExitStack, peers: MemoryPeers) -> None:
        directory = self.machine.directory
        self.gossip = await stack.enter_async_context(
            open_gossip(
                self._config.gossip,
                guid=self.guid,
                zone=self._zones[self.guid],
                boot=take_boot(directory, self._random),
                cluster="joint",
                members=self._members(),
                keys=[_KEY],
                observed=self.observed,
                peers=peers,
                random=self._random,
                stream=self._random.randbytes(12),
                about=lambda: About(applied_index=self.database.index),
                on_boot=lambda higher: store_boot(directory, higher),
                wall=self.machine.wall_s,
                bind=Socket.binder(self._fabric, self.guid),
            )
        )
        self.observed.believe(placed_by_rows(self.database))
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        nursery.start_soon(self._follow_rows)

    def _members(self) -> list[Member]:
        with self.database.read() as tx:
            rows = [node for node in tx.all(Node) if node.state != "REMOVED"]
        nodes = self._fabric.nodes
        return [Member(guid=one.guid, zone=one.zone, address=address_of(nodes, one.guid), port=7400) for one in rows]

    async def _follow_rows(self) -> None:
        async with self.database.watch("nodes", "instances") as changes:
            while True:
                await changes.wait()
                whole = changes.resync
                touched = changes.take()
                if whole or any(table == "nodes" for table, _ in touched):
                    await self.gossip.set_members(self._members())
                self.observed.recheck(None if whole else moved(touched))

    async def _open_work(self, stack: AsyncExitStack, peers: MemoryPeers) -> None:
        machine, config, enter = self.machine, self._config, stack.enter_async_context
        database, observed = self.database, self.observed
        acts = make_acts(database, observed.unreachable, self.guid)
        self.supervisor = await enter(
            open_supervisor(
                config.supervisor,
                directory=machine.directory / "supervisor",
                node_guid=self.guid,
                database=database,
                observed=observed,
                sandbox=Sandbox(machine),  # type: ignore[arg-type]
                blobs=NoBlobs(),  # type: ignore[arg-type]
                logs=Silence(machine),  # type: ignore[arg-type]
                unsealing=Unkeyed(),
                default_stack="host",
                api_url="https://api.system.localhost",
                clock=machine.wall_s,
                leave=lambda guid, epoch: self._leave_routers(peers, guid, epoch),
                boot_clock=machine.boot_s,
                new_guid=machine.new_name,
            )
        )
        await self.supervisor.adopted()
        self.gossip.settled()
        await enter(open_scheduler(config, database, machine.wall_s, sight=observed, acts=acts))
        await enter(open_liveness(config.liveness, database, observed, acts, node_guid=self.guid, clock=machine.wall_s))
        self.feed = await enter(
            open_route_feed(
                self.envoy,  # type: ignore[arg-type]
                database,
                observed,
                {},
                node_guid=self.guid,
                unreachable=observed.unreachable,
            )
        )
        serve_confirming(peers, self.feed)

    async def _leave_routers(self, peers: MemoryPeers, guid: str, epoch: int) -> None:
        gone = self.observed.unreachable()
        with self.database.read() as tx:
            nodes = [node.guid for node in live_members(tx) if node.guid not in gone]
        await leave_routers(peers, nodes, guid, epoch, timeout_s=self._config.supervisor.leave_timeout_s)

    def placed(self) -> dict[str, tuple[int, str]]:
        """Epoch and node by instance, as this node's rows have it."""
        with self.database.read() as tx:
            return {row.guid: (row.epoch, row.node_guid) for row in tx.all(Instance)}
